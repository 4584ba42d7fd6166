// Package e2e holds the end-to-end tests: the real controller, the real
// daoli-hostd and real Open vSwitch on the topology of package netns, and real
// packets. Run them as root with
//
//	go test -tags e2e ./testbed/e2e
//
// Each hazard is one test that runs twice: as built, where it must not see the
// hazard, and with the flow that guards against it replaced in the switch, where
// it must. So a test that could not see anything cannot pass.
//
// Nothing here waits for time to pass to conclude that a packet did not come.
// A test that expects silence sends an honest packet behind the suspect on the
// same path, waits for that one, and looks what came before.
package e2e
