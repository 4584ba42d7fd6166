//go:build !race

package spec_test

const (
	slowness = 1  // the bounds are multiplied by it
	many     = 64 // files of a large tree
)
