//go:build race

package spec_test

// slowness is by how much the race detector lengthens and enlarges.
const slowness = 15
