package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// story is the demo: its testbed, its cast, and what has to be closed.
type story struct {
	*narrator
	*netns.Testbed
	ctx   context.Context
	began time.Time

	web1, web2, db1 *netns.Endpoint // acme's
	gweb1, gdb1     *netns.Endpoint // globex's, with the same addresses
	closers         []io.Closer
	took            api.PacketIns // before the edit
	beforeEdit      int           // attempts until then
	attempts        int           // to talk: connections, UDP exchanges, pings
}

// tell goes through the parts, and stops at the first that is not true.
func (s *story) tell() error {
	parts := []func() error{
		s.join, s.run, s.sameHost, s.acrossHosts, s.overlap, s.wire, s.decision, s.again, s.denied, s.count, s.edit, s.sum,
	}
	for _, part := range parts {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) close() {
	for _, c := range s.closers {
		c.Close()
	}
}

func (s *story) sessionFlows() (n int, err error) {
	for _, h := range s.Hosts {
		flows, err := h.Flows(s.ctx, "cookie=0x0300000000000000/0xff00000000000000")
		if err != nil {
			return 0, err
		}
		n += len(flows)
	}
	return n, nil
}

func (s *story) sameHost() error {
	s.step("Same host: %s talks to %s, both on h1", s.web1.Path(), s.web2.Path())
	return s.talk(s.web1, s.web2)
}

func (s *story) acrossHosts() error {
	s.step("Across hosts: %s on h1 talks to %s on h2, two subnets and a router away", s.web1.Path(), s.db1.Path())
	if err := s.talk(s.web1, s.db1); err != nil {
		return err
	}
	const say = "echo hello | nc 10.1.1.21 5432"
	s.attempts++
	said, err := s.docker("h1", "exec", "web1", "sh", "-c", say)
	if want := s.db1.Path() + ": hello"; err != nil || said != want {
		return fmt.Errorf("docker exec: %q, %w; not %q", said, err, want)
	}
	return nil
}

func (s *story) overlap() error {
	s.step("The same addresses once more: globex's %s talks to globex's %s, beside acme's on one dockerd", s.gweb1.Addr, s.gdb1.Addr)
	return s.talk(s.gweb1, s.gdb1)
}

func (s *story) wire() error {
	s.step("The same packet in the container and on the wire, as tcpdump sees it")
	filter := "tcp[tcpflags] & tcp-push != 0 and tcp port "
	inContainer, err := s.tcpdump(s.web1.Namespace, "eth0", filter+"5432")
	if err != nil {
		return err
	}
	tr, err := s.Controller.API().Trace(s.ctx, api.Pair{From: s.web1.Path(), To: s.db1.Path(), Proto: "tcp", Port: 5432})
	if err != nil {
		return err
	}
	onWire, err := s.tcpdump(s.Namespace("rt"), "h1", fmt.Sprint(filter, tr.Session.WirePorts[0]))
	if err != nil {
		return err
	}
	c, _, err := s.ask(s.web1, "tcp4", s.db1.AddrPort(5432), "select 42;")
	if err != nil {
		return err
	}
	defer c.Close()
	var lengths []string
	for _, d := range []struct {
		where string
		dump  *dump
		want  string
	}{
		{"in the container: ", inContainer, s.web1.Addr.String()},
		{"between the hosts:", onWire, s.Hosts[0].Addr.Addr().String()},
	} {
		line, err := d.dump.packet(s.ctx, d.want)
		if err != nil {
			return err
		}
		s.say("%s", d.where)
		s.show(line)
		lengths = append(lengths, regexp.MustCompile(`length (\d+)\)`).FindString(line))
	}
	if lengths[0] != lengths[1] || lengths[0] == "" {
		return fmt.Errorf("the packet has %q in the container and %q on the wire", lengths[0], lengths[1])
	}
	s.done("the two hosts' own addresses, a wire port for the session, and not one byte more (%s", lengths[0])
	return nil
}

func (s *story) decision() error {
	s.step("Who allowed that, and by which flows?")
	if _, err := s.daolictl("why", s.web1.Path(), s.db1.Path()+":5432"); err != nil {
		return err
	}
	if _, err := s.daolictl("trace", s.web1.Path(), s.db1.Path()+":5432"); err != nil {
		return err
	}
	tr, err := s.Controller.API().Trace(s.ctx, api.Pair{From: s.web1.Path(), To: s.db1.Path(), Proto: "tcp", Port: 5432})
	if err != nil {
		return err
	}
	d := tr.Session.Decision
	line, err := s.lineOf("tenants/acme/prod.yaml", "- from: [{group: web}]")
	if err != nil {
		return err
	}
	if want := fmt.Sprint("tenants/acme/prod.yaml:", line); !d.Allowed() || d.At != want {
		return fmt.Errorf("the decision is %+v, not an allow by %s", d, want)
	}
	flows := 0
	for _, h := range tr.Hops {
		flows += len(h.Flows)
	}
	if flows != 6 || len(tr.Hops) != 2 {
		return fmt.Errorf("the session has %d flows on %d hosts, not six on two", flows, len(tr.Hops))
	}
	s.done("%s by rule %s at %s; three flows on each of two hosts: there, back, and a guard", d.Verdict, d.Rule, d.At)
	return nil
}

func (s *story) again() error {
	s.step("A hundred more connections of that session")
	before, err := s.Controller.API().Status(s.ctx)
	if err != nil {
		return err
	}
	for range 100 {
		c, _, err := s.ask(s.web1, "tcp4", s.db1.AddrPort(5432), "again")
		if err != nil {
			return err
		}
		c.Close()
	}
	after, err := s.Controller.API().Status(s.ctx)
	if err != nil {
		return err
	}
	if n := after.PacketIns.Total - before.PacketIns.Total; n != 0 {
		return fmt.Errorf("they took %d PacketIns", n)
	}
	s.done("100 connections, 0 PacketIns: the controller did not hear of them")
	return nil
}

func (s *story) denied() error {
	s.step("Denied, and isolated")
	began := time.Now()
	_, _, err := s.ask(s.web1, "tcp4", s.db1.AddrPort(22), "")
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("a connection that no rule allows: %v, not refused", err)
	}
	s.done("tcp %s > %s: refused after %.1f ms", s.web1.Addr, s.db1.AddrPort(22), ms(time.Since(began)))
	if err := s.showWhy(s.web1, s.db1, 22, "reject"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	s.attempts++
	c, err := inside.Dial(ctx, s.gweb1.Namespace, "tcp4", 0, s.web2.AddrPort(5432))
	if err == nil {
		c.Close()
		return errors.New("globex reached acme")
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("globex's attempt to reach acme was answered: %w", err)
	}
	s.done("tcp from globex's %s to acme's %s: not even an answer", s.gweb1.Addr, s.web2.AddrPort(5432))
	return s.showWhy(s.gweb1, s.web2, 5432, "drop")
}

// showWhy shows daolictl why, and checks its verdict. daolictl ends with 1
// where the verdict is a denial.
func (s *story) showWhy(from, to *netns.Endpoint, port int, verdict string) error {
	s.daolictl("why", from.Path(), fmt.Sprintf("%s:%d", to.Path(), port))
	w, err := s.Controller.API().Why(s.ctx, api.Pair{From: from.Path(), To: to.Path(), Proto: "tcp", Port: port})
	if err != nil {
		return err
	}
	if w.Decision.Verdict != verdict {
		return fmt.Errorf("the verdict is %s, not %s", w.Decision.Verdict, verdict)
	}
	return nil
}

// count remembers what all but the edit took. A session across hosts takes one
// PacketIn, and one or two from the wire more where an answer overtakes its flows.
func (s *story) count() error {
	st, err := s.Controller.API().Status(s.ctx)
	if err != nil {
		return err
	}
	s.took, s.beforeEdit = st.PacketIns, s.attempts
	if s.took.FromEndpoints == 0 || s.took.FromEndpoints > 20 || s.took.FromWire > 12 {
		return fmt.Errorf("%d attempts to talk took %d PacketIns from containers and %d from the wire",
			s.attempts, s.took.FromEndpoints, s.took.FromWire)
	}
	return nil
}

func (s *story) sum() error {
	s.step("What it took")
	if _, err := s.daolictl("status"); err != nil {
		return err
	}
	st, err := s.Controller.API().Status(s.ctx)
	if err != nil {
		return err
	}
	s.done("%d PacketIns from containers and %d from the wire, for %d connections, exchanges, pings and refusals before the edit",
		s.took.FromEndpoints, s.took.FromWire, s.beforeEdit)
	s.done("%d and %d more with the edit: what was in flight when the transfer was cut, and what was tried around it",
		st.PacketIns.FromEndpoints-s.took.FromEndpoints, st.PacketIns.FromWire-s.took.FromWire)
	s.say("All of the above took %.1f s.", time.Since(s.began).Seconds())
	return nil
}

// leftNothing checks that the run is gone.
func (s *story) leftNothing() error {
	var left []string
	spaces, err := filepath.Glob(filepath.Join(inside.Dir, s.ID+"-*"))
	if err != nil {
		return err
	}
	left = append(left, spaces...)
	if _, err := os.Stat(s.Dir); err == nil {
		left = append(left, s.Dir)
	}
	if len(left) != 0 {
		return fmt.Errorf("left behind: %v", left)
	}
	s.step("Gone")
	s.done("no process, namespace or file of it is left")
	return nil
}

// daolictl runs the tool and shows what it prints.
func (s *story) daolictl(args ...string) (string, error) {
	s.command("daolictl " + strings.Join(args, " "))
	cmd := s.Command(s.ctx, append([]string{s.Binary("daolictl"), "--socket", s.Controller.Socket}, args...)...)
	out, err := cmd.CombinedOutput()
	s.show(string(out))
	if err != nil {
		return "", fmt.Errorf("daolictl %s: %w", args[0], err)
	}
	return string(out), nil
}
