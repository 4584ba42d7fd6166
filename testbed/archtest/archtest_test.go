package archtest_test

import (
	"os"
	"testing"

	"github.com/daolinet/daolinet/testbed/archtest"
)

func TestTreeKeepsTheArchitecture(t *testing.T) {
	found, err := archtest.Check(os.DirFS("../.."), archtest.Table)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}
