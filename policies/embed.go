// Package policies holds the admission policy that daoli-reconcile runs with
// when it is given no other: README.md describes it.
package policies

import "embed"

// FS is the tree of policies without its tests.
//
//go:embed system/admission.rego
var FS embed.FS
