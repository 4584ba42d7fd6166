// Package api is the controller's own interface to people and programs: HTTP
// and JSON over a unix socket that only its owner may open. It asks a Backend,
// which the controller implements; only what is not GET changes anything.
//
//	GET /v1/status
//	GET /v1/hosts
//	GET /v1/endpoints
//	GET /v1/sessions?vpc=acme/prod&endpoint=web1&host=h1&proto=tcp&port=5432&limit=100
//	POST /v1/sessions/0x301000100000007/kill
//	GET /v1/receipts
//	GET /v1/receipts/ID
//	GET /v1/trace?from=web1&to=db1&proto=tcp&port=5432
//	GET /v1/why?from=web1&to=db1&proto=tcp&port=5432
//	GET, POST /v1/join-tokens
//	DELETE /v1/join-tokens/ID
//	POST /v1/hosts/NAME/revoke
//
// Lists come as an object with one list in it, so that something can stand
// beside it later. An answer other than 200 has the body of an Error. Field
// names are stable: fields are added, never renamed. Times are RFC 3339,
// durations seconds, cookies and datapath ids hexadecimal strings, since a
// 64-bit number does not survive in JavaScript.
package api
