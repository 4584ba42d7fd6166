package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/hostd/agent"
)

// invoke runs the program.
func invoke(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	code = run(t.Context(), args, system{out: &out, err: &errOut, env: lookup})
	return code, out.String(), errOut.String()
}

// hostd serves a socket with fixed answers, and keeps the last request.
func hostd(t *testing.T, answers map[string]string) (socket string, last *string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	last = new(string)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*last = r.Method + " " + r.URL.Path + " " + strings.TrimSpace(string(body))
		answer, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"error": "there is no such thing"}`
		}
		_, _ = io.WriteString(w, answer)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Shutdown(context.Background()); <-done })
	return socket, last
}

const endpointJSON = `{"vpc":"acme/prod","subnet":"web","name":"web1","ip":"10.1.0.2","mac":"02:00:00:00:00:02","port":16,` +
	`"device":"dl16","netns":"/run/netns/web1","interface":"eth0","state":"up"}`

func TestAttachSendsWhatTheFlagsSay(t *testing.T) {
	socket, last := hostd(t, map[string]string{"/v1/attach": endpointJSON})
	code, stdout, stderr := invoke(t, map[string]string{"DAOLI_SUBNET": "web"}, "attach", "--socket", socket, "--netns", "web1", "--vpc", "acme/prod",
		"--name", "web1", "--ip", "10.1.0.2", "--mac", "02:00:00:00:00:02", "--group", "web", "--group", "api", "--label", "a=b=c", "--label", "d=", "-o", "json")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	want := `POST /v1/attach {"vpc":"acme/prod","subnet":"web","name":"web1","netns":"web1","interface":"eth0","ip":"10.1.0.2",` +
		`"mac":"02:00:00:00:00:02","groups":["web","api"],"labels":{"a":"b=c","d":""}}`
	if diff := cmp.Diff(want, *last); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	var e agent.Endpoint
	if err := json.Unmarshal([]byte(stdout), &e); err != nil || e.Port != 16 || e.IP.String() != "10.1.0.2" {
		t.Errorf("output is %s (%v)", stdout, err)
	}
}

func TestExitCodes(t *testing.T) {
	socket, _ := hostd(t, map[string]string{
		"/v1/endpoints": `{"endpoints":[` + endpointJSON + `]}`, "/v1/detach": endpointJSON,
		"/v1/status": `{"host":"h1","uplink":{"device":"eth0","address":"172.31.1.1/24","mtu":1500},"openflow":{"ssl:1.2.3.4:6653":true}}`,
	})
	attach := []string{"attach", "--socket", socket, "--netns", "n", "--vpc", "acme/prod", "--subnet", "web", "--name", "x"}
	run := []string{"run", "--state-dir", t.TempDir()}
	join := []string{"join", "127.0.0.1:1", "--state-dir", t.TempDir()}
	hash := "sha256:" + strings.Repeat("0f", 32)
	tests := []struct {
		name string
		env  map[string]string
		args []string
		code int
		want string // part of what is written
	}{
		{"help", nil, nil, exitFine, "attach"},
		{"endpoints", nil, []string{"endpoints", "--socket", socket}, exitFine, "acme/prod  web1  web     10.1.0.2  02:00:00:00:00:02  16    up     -"},
		{"status", nil, []string{"status", "--socket", socket}, exitFine, "ssl:1.2.3.4:6653 up"},
		{"socket by environment", map[string]string{"DAOLI_SOCKET": socket}, []string{"endpoints"}, exitFine, "web1"},
		{"detach by name", nil, []string{"detach", "web1", "--socket", socket}, exitFine, ""},
		{"detach by flags", nil, []string{"detach", "--vpc", "acme/prod", "--name", "web1", "--socket", socket}, exitFine, ""},
		{"completion", nil, []string{"completion", "bash"}, exitFine, "bash completion"},
		{"refused", nil, attach, exitRefused, "there is no such thing"},
		{"detach of nobody", nil, []string{"detach", "--socket", socket}, exitUsage, "say which endpoint"},
		{"detach of two", nil, []string{"detach", "a", "--name", "b", "--socket", socket}, exitUsage, "say which endpoint"},
		{"unknown command", nil, []string{"atach"}, exitUsage, "unknown command"},
		{"unknown flag", nil, []string{"status", "--sockt", "x"}, exitUsage, "unknown flag"},
		{"flag missing", nil, []string{"attach"}, exitUsage, `required flag(s)`},
		{"output", nil, []string{"status", "-o", "xml"}, exitUsage, "table and json are known"},
		{"bad ip", nil, append(attach, "--ip", "x"), exitUsage, `"x" is no address`},
		{"bad mac", nil, append(attach, "--mac", "x"), exitUsage, `MAC "x"`},
		{"bad label", nil, append(attach, "--label", "x"), exitUsage, "KEY=VALUE"},
		{"bad environment", map[string]string{"DAOLI_ATTACH_TIMEOUT": "maybe"}, run, exitUsage, "DAOLI_ATTACH_TIMEOUT"},
		{"run without TLS", nil, append(run, "--insecure"), exitUsage, "unknown flag"},
		{"run before join", nil, run, exitRefused, "daoli-hostd join"},
		{"run with a controller without port", nil, append(run, "--controller", "1.2.3.4"), exitUsage, "ADDRESS:PORT"},
		{"run with a bad log level", nil, append(run, "--log-level", "x"), exitUsage, "log-level"},
		{"join nobody", nil, []string{"join"}, exitUsage, "accepts 1 arg"},
		{"join without a hash", nil, append(join, "--token", "t"), exitUsage, "--ca-hash is required"},
		{"join without a token", nil, append(join, "--ca-hash", hash), exitUsage, "DAOLI_TOKEN"},
		{"join with two tokens", map[string]string{"DAOLI_TOKEN": "t"}, append(join, "--ca-hash", hash, "--token-file", "f"), exitUsage, "both"},
		{"join with a token file that isn't there", nil, append(join, "--ca-hash", hash, "--token-file", "/nonexistent/f"), exitRefused, "read the join token"},
		{"join with a hash that is none", nil, append(join, "--ca-hash", "sha256:12", "--token", "t"), exitRefused, "64 hexadecimal digits"},
		{"join with a bad name", nil, append(join, "--ca-hash", hash, "--token", "t", "--name", "H 1"), exitRefused, "host name"},
		{"join with a bad datapath", nil, append(join, "--ca-hash", hash, "--token", "t", "--datapath", "x"), exitUsage, "datapath"},
		{"nobody there", nil, []string{"status", "--socket", "/nonexistent/s"}, exitUnreachable, "DAOLI_SOCKET"},
	}
	for _, tt := range tests {
		code, stdout, stderr := invoke(t, tt.env, tt.args...)
		if code != tt.code || !strings.Contains(stdout+stderr, tt.want) {
			t.Errorf("%s: exit %d; want %d and %q\nstdout: %s\nstderr: %s", tt.name, code, tt.code, tt.want, stdout, stderr)
		}
	}
}
