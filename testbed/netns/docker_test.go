//go:build e2e

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

func dockerContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func runContainer(ctx context.Context, t *testing.T, d *netns.Docker, name string, argv ...string) *netns.Container {
	t.Helper()
	c, err := d.Run(ctx, name, "", append([]string{netns.Image}, argv...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryHostHasItsOwnDocker(t *testing.T) {
	began := time.Now()
	tb := up(t, netns.Options{Hosts: 2, Docker: true})
	t.Logf("two dockerds up, with their image, in %s", time.Since(began).Round(time.Millisecond))
	ctx := dockerContext(t)
	for _, h := range tb.Hosts {
		began := time.Now()
		c := runContainer(ctx, t, h.Docker, "one", "sleep", "1000")
		t.Logf("a container in %s", time.Since(began).Round(time.Millisecond))
		if said, err := c.Exec(ctx, "echo", "hello", "world"); err != nil || said != "hello world" {
			t.Errorf("%s: exec = %q, %v; want hello world", h.Name, said, err)
		}
		if name, err := h.Docker.Do(ctx, "info", "--format", "{{.Name}} {{.Containers}}"); err != nil || name != h.Name+" 1" {
			t.Errorf("%s: dockerd says of itself %q, %v; want its host's name and one container", h.Name, name, err)
		}
		if _, err := inside.Ping(ctx, c.Namespace, netip.MustParseAddr("127.0.0.1"), 8); err != nil {
			t.Errorf("%s: in the container's namespace: %v", h.Name, err)
		}
		if err := c.Remove(ctx); err != nil {
			t.Error(err)
		}
		if _, err := h.Docker.Container(ctx, "one"); err == nil {
			t.Errorf("%s: the container is still there", h.Name)
		}
	}
	if _, err := os.Stat(filepath.Join("/run/docker/plugins", "daoli.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the machine's own directory of plugins: %v; want no plugin in it", err)
	}
}

func TestDockerIsStartedAgain(t *testing.T) {
	for name, live := range map[string]bool{"containers live on": true, "containers end": false} {
		t.Run(name, func(t *testing.T) {
			tb := up(t, netns.Options{Hosts: 1, Docker: true, DockerArgs: []string{fmt.Sprintf("--live-restore=%t", live)}})
			ctx, docker := dockerContext(t), netns.Part{Program: netns.ProgramDocker, Host: "h1"}
			d := tb.Hosts[0].Docker
			c := runContainer(ctx, t, d, "one", "sleep", "1000")
			ends := map[string]func() error{"kill": func() error { return tb.Kill(docker) }, "stop": func() error { return d.Stop(ctx) }}
			for how, end := range ends {
				if err := end(); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if err := tb.Start(ctx, docker); err != nil {
					t.Fatal(err)
				}
				t.Logf("%s: back after %s", how, time.Since(began).Round(time.Millisecond))
				now, err := d.Container(ctx, "one")
				if err != nil {
					t.Fatal(err)
				}
				if same := now.Namespace == c.Namespace && now.State == "running"; same != live {
					t.Errorf("%s: container is %s in %q, was in %q; want the same: %t", how, now.State, now.Namespace, c.Namespace, live)
				}
				if !live {
					if _, err := d.Do(ctx, "start", "one"); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := c.Exec(ctx, "true"); err != nil {
					t.Errorf("%s: %v", how, err)
				}
			}
		})
	}
}

func TestNothingOfDockerIsLeftBehind(t *testing.T) {
	parent := shortDir(t)
	tb, err := netns.Up(t.Context(), netns.Options{Hosts: 1, UnderlayOnly: true, Docker: true, Parent: parent})
	if err != nil {
		t.Fatal(err)
	}
	runContainer(dockerContext(t), t, tb.Hosts[0].Docker, "one", "sleep", "1000")
	if len(groupsOf(t, tb.ID)) == 0 {
		t.Error("no control groups of the run while its container runs")
	}
	if err := tb.Close(); err != nil {
		t.Error(err)
	}
	dockerLeftNothing(t, parent, tb.ID)
}

func TestSweepRemovesTheDockerOfAKilledOwner(t *testing.T) {
	parent := shortDir(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ownerVar+"="+parent, ownerDockerVar+"=1")
	dead, dir := startOwner(t, cmd)
	id := filepath.Base(dir)
	if before := strings.Join(leftovers(t, parent, id), "\n"); !strings.Contains(before, "containerd-shim") {
		t.Errorf("no container in what there is before: %s", before)
	}
	dead.Process.Kill()
	dead.Wait()
	if swept, err := netns.Sweep(t.Context(), parent); err != nil || len(swept) != 1 || swept[0] != id {
		t.Errorf("Sweep after kill -9 of an owner = %v, %v; want %s", swept, err, id)
	}
	dockerLeftNothing(t, parent, id)
}

// dockerLeftNothing sees, too, that no control group is left, and so no
// container's process.
func dockerLeftNothing(t *testing.T, parent, id string) {
	t.Helper()
	left := append(leftovers(t, parent, id), groupsOf(t, id)...)
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, parent) {
			left = append(left, line)
		}
	}
	if len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func groupsOf(t *testing.T, id string) (dirs []string) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		found, err := filepath.Glob(pattern + id)
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, found...)
	}
	return dirs
}
