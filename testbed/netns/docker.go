package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Docker is a host's own dockerd, with its containerd and its containers, in a
// mount namespace of its own: what it has in /run and where it keeps its images
// (in memory) is nobody else's. The mount namespace and its host name stay when
// dockerd ends, and so do its containers if it was told to let them live.
type Docker struct {
	Socket  string // of its API
	Plugins string // what it sees as /run/docker/plugins

	host           *Host
	dir            string
	anchor, daemon *Process
	held           *os.File // daoli-hostd's socket for Docker; nil with Options.OwnSocket
}

func newDocker(h *Host) *Docker {
	dir := filepath.Join(h.testbed.Dir, h.Name)
	return &Docker{
		Socket: filepath.Join(dir, "docker.sock"), Plugins: filepath.Join(dir, "run/docker/plugins"), host: h, dir: dir,
	}
}

// up starts the host's first dockerd and gives it the image.
func (d *Docker) up(ctx context.Context) error {
	if err := d.cast(ctx); err != nil {
		return err
	}
	if err := startAndAwait(ctx, d.launch); err != nil {
		return err
	}
	_, err := d.Do(ctx, "load", "--input", d.host.testbed.run.imageFile())
	return err
}

// prepare makes what both dockerd and daoli-hostd need.
func (d *Docker) prepare() error {
	if err := errors.Join(os.MkdirAll(d.Plugins, 0o755), os.MkdirAll(d.memory(), 0o755)); err != nil {
		return err
	}
	if d.host.testbed.opt.OwnSocket {
		return nil
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.pluginSocket(), Net: "unix"})
	if err != nil {
		return fmt.Errorf("hold socket for docker: %w", err)
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	d.held, err = l.File()
	return err
}

func (d *Docker) pluginSocket() string { return filepath.Join(d.Plugins, "daoli.sock") }

// flags are the flags of daoli-hostd by which it serves this dockerd, or none.
func (d *Docker) flags() []string {
	if d == nil {
		return []string{"--docker", "none"}
	}
	return []string{"--docker", d.Socket, "--plugin-socket", d.pluginSocket()}
}

// hold gives a daoli-hostd the socket that is held for it (sd_listen_fds(3)).
func (d *Docker) hold(c *command) {
	if d == nil || d.held == nil {
		return
	}
	c.files, c.env = []*os.File{d.held}, append(c.env, "LISTEN_FDS=1")
	c.argv = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh"}, c.argv...)
}

// cast casts the anchor: the process that holds dockerd's mount and UTS
// namespaces.
func (d *Docker) cast(ctx context.Context) (err error) {
	run, memory := filepath.Join(d.dir, "run"), d.memory()
	const script = `echo "$1" >/proc/sys/kernel/hostname && mount --bind "$2" /run && mount -t tmpfs -o mode=0755 daoli "$3" && exec sleep infinity`
	// slave, so that a namespace which is deleted outside goes here too.
	c := d.host.command("anchor",
		"unshare", "--mount", "--uts", "--propagation", "slave", "sh", "-c", script, "sh", d.host.Name, run, memory)
	c.hard = true
	if d.anchor, err = d.host.testbed.start(c); err != nil {
		return err
	}
	return d.anchor.await(ctx, "mounts of "+d.host.Name, func() error {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", d.anchor.PID()))
		if err == nil && strings.TrimSpace(string(name)) != "sleep" {
			err = fmt.Errorf("it is still %q", name)
		}
		return err
	})
}

func (d *Docker) memory() string { return filepath.Join(d.dir, "docker") }

func (d *Docker) launch() (await func(context.Context) error, err error) {
	// The pid of one that was killed may be a zombie's still, or somebody else's.
	pidFile := filepath.Join(d.dir, "docker.pid")
	for _, file := range []string{pidFile, filepath.Join(d.dir, "run/docker/containerd/containerd.pid")} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	argv := []string{"nsenter", "--target", fmt.Sprint(d.anchor.PID()), "--mount", "--uts", "--net",
		"dockerd", "--host", "unix://" + d.Socket, "--data-root", filepath.Join(d.memory(), "data"), "--exec-root", "/run/docker",
		"--pidfile", pidFile, "--storage-driver", "overlay2",
		"--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", "/" + d.host.testbed.run.id + "/" + d.host.Name,
		"--iptables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none", "--userland-proxy=false"}
	c := d.host.command("dockerd", append(argv, d.host.testbed.opt.DockerArgs...)...)
	c.hard = true // or it would ask plugins that end, too
	if d.daemon, err = d.host.testbed.start(c); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return d.daemon.await(ctx, "dockerd of "+d.host.Name, func() error { return d.answers(ctx) })
	}, nil
}

// answers asks dockerd whether it serves: while it starts it takes connections
// and lets them wait.
func (d *Docker) answers(ctx context.Context) error {
	_, err := d.Do(ctx, "version", "--format", "{{.Server.Version}}")
	return err
}

// Start starts dockerd again and waits until it answers.
func (d *Docker) Start(ctx context.Context) error { return startAndAwait(ctx, d.launch) }

// Stop asks dockerd to end, as the machine's supervisor would, and waits for it.
func (d *Docker) Stop(ctx context.Context) error { return d.daemon.Stop(ctx) }

// Process is the running dockerd.
func (d *Docker) Process() *Process { return d.daemon }

// Do runs docker(1) with this dockerd, and returns what it printed without the
// newline at its end. The error has what it said on standard error.
func (d *Docker) Do(ctx context.Context, args ...string) (string, error) {
	cmd := d.host.testbed.Command(ctx, append([]string{client()}, args...)...)
	cmd.Env = append(cmd.Env, "DOCKER_HOST=unix://"+d.Socket, "DOCKER_CONFIG="+filepath.Join(d.dir, "docker-config"), "DOCKER_CONTEXT=")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return out.String(), fmt.Errorf("docker %s on %s: %w: %s", args[0], d.host.Name, err, bytes.TrimSpace(said.Bytes()))
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

// client is the docker(1) of dockerd's package, if that is there: a much newer one
// does not speak all of its language.
func client() string {
	const packaged = "/usr/bin/docker"
	if _, err := os.Stat(packaged); err == nil {
		return packaged
	}
	return "docker"
}

func (r *run) imageFile() string { return filepath.Join(r.dir, "image.tar") }

// cgroups returns the directories of the run's control groups, where its
// containers are: of each hierarchy of version 1, and of version 2.
func (r *run) cgroups() []string {
	var dirs []string
	for _, pattern := range []string{"/sys/fs/cgroup/" + r.id, "/sys/fs/cgroup/*/" + r.id} {
		found, _ := filepath.Glob(pattern)
		dirs = append(dirs, found...)
	}
	return dirs
}

// contained returns the processes in the run's control groups: those of its
// containers, in whose environment is no mark.
func (r *run) contained() (pids []int) {
	for _, root := range r.cgroups() {
		filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.Name() != "cgroup.procs" {
				return nil // a group that ended meanwhile has no processes
			}
			text, _ := os.ReadFile(path)
			for _, word := range strings.Fields(string(text)) {
				var pid int
				if n, _ := fmt.Sscan(word, &pid); n == 1 && pid > 0 {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}

// removeCgroups removes the run's control groups, which are empty.
func (r *run) removeCgroups(ctx context.Context) error {
	return await(ctx, "end of control groups of "+r.id, func() error {
		var errs []error
		for _, root := range r.cgroups() {
			var dirs []string
			filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
				if err == nil && e.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for i := len(dirs) - 1; i >= 0; i-- { // below before above
				if err := unix.Rmdir(dirs[i]); err != nil && !errors.Is(err, unix.ENOENT) {
					errs = append(errs, fmt.Errorf("remove control group %s: %w", dirs[i], err))
				}
			}
		}
		return errors.Join(errs...)
	})
}
