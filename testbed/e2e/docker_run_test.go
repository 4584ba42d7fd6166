//go:build e2e

package e2e_test

import (
	"testing"

	"github.com/daolinet/daolinet/testbed/netns"
)

// TestDockerRun is what a user of Docker does, on two hosts that nobody
// configured for it.
func TestDockerRun(t *testing.T) {
	f := startDocker(t, netns.Options{Hosts: 2, DockerArgs: asInstalled})
	for name, test := range map[string]func(*fabric){
		"containers reach each other across hosts as the policy says": dockerReach,
	} {
		t.Run(name, func(t *testing.T) { test(f.with(t)) })
	}
}

func dockerReach(f *fabric) {
	db := f.run("h2", "db1", acmeDB, greeting(5432)...)
	web := f.run("h1", "web1", acmeWeb, "--label", "daoli.groups=web", "--label=daoli.label.tier=front")
	other := f.run("h1", "other", acmeWeb)
	f.hears(web, db, acmeDB, 5432)
	f.deaf(other, db, acmeDB, 5432)
	if d := f.why(f.in(web, acmeWeb), f.in(db, acmeDB), "tcp", 5432); !d.Allowed() {
		f.t.Errorf("web1 > db1:5432 is %+v; want allowed", d)
	}
}
