package policy

import (
	"context"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
)

// frozen is a tree of data that nobody changes: so any number of evaluations
// read it without locks or transactions. It is OPA's base cache, which answers
// whatever is in the tree, and OPA's store, which is asked for the rest.
type frozen struct {
	storage.TriggersNotSupported
	storage.PolicyNotSupported
	root ast.Value
}

var errNotFound = &storage.Error{Code: storage.NotFoundErr}

var errFrozen = &storage.Error{Code: storage.WritesNotSupportedErr}

// Get returns what ref, from data on, refers to, or nil.
func (f frozen) Get(ref ast.Ref) ast.Value {
	v, err := f.root.Find(ref[1:])
	if err != nil {
		return nil
	}
	return v
}

// Put does nothing: all there is is in the tree.
func (frozen) Put(ast.Ref, ast.Value) {}

// Read finds nothing: it is asked for what Get did not find.
func (frozen) Read(context.Context, storage.Transaction, storage.Path) (any, error) {
	return nil, errNotFound
}

// NewTransaction returns no transaction: none is needed.
func (frozen) NewTransaction(context.Context, ...storage.TransactionParams) (storage.Transaction, error) {
	return nil, nil
}

// Write refuses.
func (frozen) Write(context.Context, storage.Transaction, storage.PatchOp, storage.Path, any) error {
	return errFrozen
}

// Commit refuses.
func (frozen) Commit(context.Context, storage.Transaction) error { return errFrozen }

// Truncate refuses.
func (frozen) Truncate(context.Context, storage.Transaction, storage.TransactionParams, storage.Iterator) error {
	return errFrozen
}

// Abort does nothing.
func (frozen) Abort(context.Context, storage.Transaction) {}
