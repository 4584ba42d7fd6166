//go:build race

package spec_test

const (
	slowness = 15 // the race detector lengthens and enlarges about so
	many     = 1  // files of a large tree
)
