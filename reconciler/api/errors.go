package api

import (
	"fmt"
	"net/http"
)

// Code says what kind of refusal an Error is: an HTTP status.
type Code int

// Codes that a Backend gives.
const (
	CodeInvalid   Code = http.StatusBadRequest          // the question makes no sense
	CodeNotFound  Code = http.StatusNotFound            // no such endpoint, no such session
	CodeAmbiguous Code = http.StatusConflict            // a short name that several endpoints have
	CodeInternal  Code = http.StatusInternalServerError // the controller's fault
)

// Error is a refusal: what is wrong, and the way out. It is also the body of
// every answer other than 200.
type Error struct {
	Code    Code   `json:"-"`
	Message string `json:"error"`
	Hint    string `json:"hint,omitempty"`
}

// Error returns the message without the hint.
func (e *Error) Error() string { return e.Message }

// UnreachableError says that nobody serves the socket.
type UnreachableError struct {
	Socket string
	Err    error
}

// Error names the socket and the cause.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("reach the controller at %s: %v", e.Socket, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }
