//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
)

var everyKill = flag.Bool("kill-all", false, "kill every pair of programs on every host, not a random choice of them")

// round is one case of the matrix: what dies, in that order, and whether
// everybody speaks meanwhile or nobody.
type round struct {
	kill []netns.Part
	busy bool
}

func (r round) String() string {
	words := make([]string, len(r.kill))
	for i, p := range r.kill {
		words[i] = p.String()
	}
	if r.busy {
		return strings.Join(words, ", ") + ", under traffic"
	}
	return strings.Join(words, ", ") + ", idle"
}

// rounds returns each program alone and each ordered pair of them, idle and
// under traffic. In all, each comes on one host, the other, and both; else each
// program comes alone and a third of the pairs, each somewhere. Their order is
// random, so that few die twice in a row, after which Open vSwitch waits longer
// for its database and its controller.
func rounds(random *rand.Rand, all bool) []round {
	var alone, pairs [][]netns.Program
	for _, p := range netns.Programs() {
		alone = append(alone, []netns.Program{p})
		for _, q := range netns.Programs() {
			if p != q {
				pairs = append(pairs, []netns.Program{p, q})
			}
		}
	}
	places := [][]string{{"h1"}, {"h2"}, {"h1", "h2"}}
	var out []round
	add := func(cases [][]netns.Program) {
		for _, programs := range cases {
			where := places
			if !all || slices.Equal(programs, []netns.Program{netns.ProgramController}) { // which is on no host
				where = places[random.IntN(len(places)):][:1]
			}
			for _, hosts := range where {
				out = append(out, round{partsOn(hosts, programs), false}, round{partsOn(hosts, programs), true})
			}
		}
	}
	random.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	if !all {
		pairs = pairs[:len(pairs)/3]
	}
	add(alone)
	add(pairs)
	random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func partsOn(hosts []string, programs []netns.Program) (parts []netns.Part) {
	for _, p := range programs {
		if p == netns.ProgramController {
			parts = append(parts, netns.Part{Program: p})
			continue
		}
		for _, h := range hosts {
			parts = append(parts, netns.Part{Program: p, Host: h})
		}
	}
	return parts
}

// TestKill kills programs with -9, one or two at a time, again and again under
// the same connections: long transfers, idle ones on which either end speaks
// first afterwards, and datagrams, on one host and between two. None may break,
// none may lose a byte, and afterwards all is as after a clean start.
func TestKill(t *testing.T) {
	t.Parallel()
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("seed %d: repeat with -run '^TestKill$' -seed %d", n, n)
	todo := rounds(rand.New(rand.NewPCG(n, 0)), *everyKill)
	k := startKilling(t, time.Duration(len(todo)+1)*settleTime)
	for _, r := range todo {
		passed := t.Run(r.String(), func(t *testing.T) {
			began := time.Now()
			k.with(t).round(r)
			t.Logf("took %s", time.Since(began).Round(time.Millisecond))
		})
		if !passed {
			break // what follows would start from its ruins
		}
	}
	for _, s := range k.streams {
		if err := s.finish(); err != nil {
			t.Error(err)
		} else {
			t.Logf("%s: %d bytes, none lost", s.name, s.got.Load())
		}
	}
}

// TestKillSeesWhatDoesNotComeBack leaves the controller dead: then what the
// switches forgot stays away, and TestKill's eyes must see it.
func TestKillSeesWhatDoesNotComeBack(t *testing.T) {
	t.Parallel()
	k := startKilling(t, 2*settleTime)
	for _, p := range partsOn([]string{"h2"}, []netns.Program{netns.ProgramController, netns.ProgramSwitch}) {
		if err := k.Kill(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Start(k.ctx, netns.Part{Program: netns.ProgramSwitch, Host: "h2"}); err != nil {
		t.Fatal(err)
	}
	k.within(settleTime, "base flows", func() error {
		lines, err := k.switchState(k.Host("h2"), nil)
		if err == nil && !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "h2 flow") }) {
			err = errors.New("there is none")
		}
		return err
	})
	for _, link := range slices.Concat(k.clientsFirst, k.serversFirst) {
		err := link.speak(slices.Contains(k.serversFirst, link), "anybody there?", time.Second)
		if near := strings.HasPrefix(link.name, "client1 > server1:"); (err == nil) != near {
			t.Errorf("speaking without session flows on h2: %s: %v; want an answer on one host, silence between two", link.name, err)
		}
	}
}

// round lets parts die and come back, and sees that nothing else changes.
func (k *killing) round(r round) {
	before, when := listed(k.sessions()), "after the death of "+r.String()
	if r.busy {
		k.traffic(true)
		k.progress()
	}
	began := time.Now()
	k.dieAndReturn(r.kill)
	back := time.Now()
	if !r.busy {
		k.speak(when)
		k.traffic(true)
	}
	k.progress()
	k.hush()
	if r.busy {
		k.speak(when)
	}
	alive := time.Now()
	k.judges()
	k.asBefore(when)
	k.t.Logf("all connected after %s, all spoke after %s, as before after %s", back.Sub(began).Round(time.Millisecond),
		alive.Sub(began).Round(time.Millisecond), time.Since(began).Round(time.Millisecond))

	controller, switches := r.has(netns.ProgramController), r.has(netns.ProgramSwitch)
	if controller && switches { // nobody was left who knew of some sessions
		before = listed(k.sessions())
	}
	if controller || switches {
		k.counted()
		k.asBefore("when the flows were counted")
	}
	k.unmended()
	for name, s := range listed(k.sessions()) {
		if s.ID != before[name].ID {
			k.t.Errorf("session %s was %s and is %s now, though somebody knew of it", name, before[name].ID, s.ID)
		}
	}
}

// unmended sees that no audit had to put anything right that the restarts left.
func (k *killing) unmended() {
	k.t.Helper()
	s, err := k.Controller.API().Status(k.ctx)
	if err != nil {
		k.t.Fatal(err)
	}
	for kind, n := range s.Drift {
		if n != 0 {
			k.t.Errorf("audits found %d %s flows; want none", n, kind)
		}
	}
}

// dieAndReturn kills parts, each as soon as the one before is dead, and waits
// until they are back.
func (k *killing) dieAndReturn(parts []netns.Part) {
	k.t.Helper()
	for _, p := range parts {
		if err := k.Kill(p); err != nil {
			k.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(k.ctx, settleTime)
	defer cancel()
	if err := k.Start(ctx, parts...); err != nil {
		k.t.Fatal(err)
	}
	if err := k.Controller.AwaitHosts(ctx, len(k.Hosts)); err != nil {
		k.t.Fatal(err)
	}
}

func (r round) has(p netns.Program) bool {
	return slices.ContainsFunc(r.kill, func(k netns.Part) bool { return k.Program == p })
}

// counted uses all sessions until the controller has read the switches' counters
// twice, from which it draws conclusions.
func (k *killing) counted() {
	k.t.Helper()
	for range 2 {
		began := time.Now()
		k.within(settleTime, "the flows to be counted", func() error {
			k.traffic(true)
			k.progress()
			k.hush()
			k.speak("still there")
			for name, s := range listed(k.sessions()) {
				if busy := time.Now().Add(-time.Duration(s.IdleSeconds * float64(time.Second))); busy.Before(began) {
					return fmt.Errorf("session %s seems idle for %.1f s", name, s.IdleSeconds)
				}
			}
			return nil
		})
	}
}
