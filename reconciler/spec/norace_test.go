//go:build !race

package spec_test

// slowness is by how much the bounds are to be multiplied.
const slowness = 1
