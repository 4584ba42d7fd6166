// Package hostpb is the contract between a host and its controllers: the
// generated code of hostlink.proto, and the limits that both ends hold messages
// to.
package hostpb

//go:generate sh -c "protoc --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --plugin=protoc-gen-go-grpc=$(go tool -n protoc-gen-go-grpc) --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative hostlink.proto"
