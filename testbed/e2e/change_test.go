//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

const editFile = "tenants/acme/edit.yaml"

func TestEditOpensOneThingAndCutsALiveTransferOfAnother(t *testing.T) {
	f := start(t, 2)
	client := f.attach("h1:acme/edit/all/client")
	server := f.attach("h2:acme/edit/all/server", "servers")
	f.serveTCP(server, 9000, "")
	f.serveTCP(server, 9001, "opened ")

	live := f.dial(client, "tcp4", 0, server.AddrPort(9000))
	cut := make(chan error, 1)
	flowing := make(chan struct{})
	go func() { cut <- transferUntilCut(live, flowing) }()
	<-flowing
	if _, err := f.tryDial(client, "tcp4", 0, server.AddrPort(9001), 5*time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("connect before the edit = %v; want connection refused", err)
	}

	began := time.Now()
	f.edit(editFile, "tcp/9000", "tcp/9001")
	select {
	case err := <-cut:
		t.Logf("the live transfer ended %s after the edit: %v", time.Since(began).Round(time.Millisecond), err)
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("the transfer ended with %v; want a reset", err)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("the cut took %s; want within a second or so", d)
		}
	case <-time.After(15 * time.Second):
		t.Fatal("the transfer went on after the edit that forbids it")
	}
	f.exchange(f.dial(client, "tcp4", 0, server.AddrPort(9001)), "opened ", "now")
	if _, err := f.tryDial(client, "tcp4", 0, server.AddrPort(9000), 5*time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connect to what the edit forbids = %v; want connection refused", err)
	}
}

// transferUntilCut sends and reads back until that fails, and says how. flowing
// is closed once 1 MB came back.
func transferUntilCut(c net.Conn, flowing chan struct{}) error {
	chunk := make([]byte, 16<<10)
	c.SetDeadline(time.Now().Add(30 * time.Second))
	for n := 0; ; n += len(chunk) {
		if _, err := c.Write(chunk); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, chunk); err != nil {
			return err
		}
		if n < 1<<20 && n+len(chunk) >= 1<<20 {
			close(flowing)
		}
	}
}

func TestBadEditKeepsTheLastGoodRevisionAndSaysWhere(t *testing.T) {
	f := start(t, 2)
	client := f.attach("h1:acme/edit/all/client")
	server := f.attach("h2:acme/edit/all/server", "servers")
	f.serveTCP(server, 9000, "")
	f.serveTCP(server, 9001, "")
	live := f.dial(client, "tcp4", 0, server.AddrPort(9000))
	f.exchange(live, "", "before")
	good := f.revision()
	text, err := os.ReadFile(f.Specs() + "/" + editFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"unknown key":  strings.Replace(string(text), "ingress:", "ingres:", 1),
		"half written": string(text[:len(text)*2/3]) + "\n  - {from: [{sub",
		"empty":        "",
		"wrong value":  strings.Replace(string(text), "tcp/9000", "tcp/90000", 1),
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			f.write(editFile, bad)
			f.eventually("refusal of the bad edit", func() error {
				s, err := f.Controller.API().Status(f.ctx)
				if err != nil {
					return err
				}
				if s.Revision.ID != good {
					t.Fatalf("active revision = %s; want the last good one, %s", s.Revision.ID, good)
				}
				if s.Revision.Refused == nil || !strings.HasPrefix(strings.Join(s.Revision.Refused.Problems, "\n"), editFile+":") {
					return fmt.Errorf("refused = %+v; want problems at lines of %s", s.Revision.Refused, editFile)
				}
				return nil
			})
			f.exchange(live, "", "the live one goes on")
			f.exchange(f.dial(client, "tcp4", 0, server.AddrPort(9000)), "", "and new ones start")
			f.write(editFile, string(text))
			f.eventually("end of the refusal", func() error {
				s, err := f.Controller.API().Status(f.ctx)
				if err == nil && s.Revision.Refused != nil {
					err = fmt.Errorf("still refused: %v", s.Revision.Refused.Problems)
				}
				return err
			})
		})
	}
	f.edit(editFile, "tcp/9000", "tcp/9001")
	if _, err := f.Controller.AwaitRevision(f.ctx, good); err != nil {
		t.Error(err)
	}
}

func TestRestartOfASwitchRecovers(t *testing.T) {
	t.Parallel()
	f := start(t, 2)
	client := f.attach("h1:acme/wide/one/client")
	server := f.attach("h2:acme/wide/two/server")
	f.serveTCP(server, 80, "")
	live := f.dial(client, "tcp4", 0, server.AddrPort(80))
	f.exchange(live, "", "before")
	for _, host := range []string{"h2", "h1"} {
		h := f.Host(host)
		began := time.Now()
		h.Switch().Kill()
		if err := h.StartSwitch(f.ctx); err != nil {
			t.Fatal(err)
		}
		f.exchange(live, "", "after kill -9 of the switch of "+host)
		t.Logf("the live connection goes on %s after kill -9 of the switch of %s", time.Since(began).Round(time.Millisecond), host)
		f.exchange(f.dial(client, "tcp4", 0, server.AddrPort(80)), "", "and a new one starts")
		if err := f.ping(client, server.Addr); err != nil {
			t.Error(err)
		}
	}
}

func TestControllerGoneLeavesSessionsAloneAndItsReturnAdmitsNewOnes(t *testing.T) {
	t.Parallel()
	f := start(t, 2)
	client := f.attach("h1:acme/wide/one/client")
	server := f.attach("h2:acme/wide/two/server")
	f.serveTCP(server, 80, "")
	f.serveTCP(server, 81, "")
	live := f.dial(client, "tcp4", 0, server.AddrPort(80))
	f.exchange(live, "", "before")
	f.Controller.Process().Kill()
	f.exchange(live, "", "the live one goes on")
	f.exchange(f.dial(client, "tcp4", 0, server.AddrPort(80)), "", "so does its service")
	if c, err := f.tryDial(client, "tcp4", 0, server.AddrPort(81), 1500*time.Millisecond); err == nil {
		t.Errorf("a new session to %s was admitted by nobody", c.RemoteAddr())
	}
	if err := f.Controller.Start(f.ctx); err != nil {
		t.Fatal(err)
	}
	if err := f.Controller.AwaitHosts(f.ctx, 2); err != nil {
		t.Fatal(err)
	}
	f.exchange(live, "", "the live one still goes on")
	f.exchange(f.dial(client, "tcp4", 0, server.AddrPort(81)), "", "and new ones start again")
}
