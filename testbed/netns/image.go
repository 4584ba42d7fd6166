package netns

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"runtime"
	"time"
)

// Image is the image that each dockerd of a testbed has: busybox, with links for
// these of its programs. Its containers are stopped by SIGKILL: what runs in them
// is process 1 there, which SIGTERM passes by for as long as Docker waits.
const Image = "busybox"

var applets = []string{"cat", "date", "echo", "env", "head", "hostname", "ifconfig", "ip", "mkdir", "nc", "nslookup", "ping",
	"ps", "route", "sh", "sleep", "test", "tr", "true", "udhcpc", "wc", "wget", "yes"}

// writeImage writes that image as a file for docker load: a tar file with a tar
// file for its one layer (github.com/moby/docker-image-spec, v1.2).
func writeImage(file string) error {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return fmt.Errorf("make image: %w: install busybox-static (make deps)", err)
	}
	layer := new(archive)
	for _, dir := range []string{"bin", "dev", "etc", "proc", "sys", "tmp"} {
		layer.add(tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, nil)
	}
	layer.add(tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755}, busybox)
	for _, a := range applets {
		layer.add(tar.Header{Typeflag: tar.TypeSymlink, Name: path.Join("bin", a), Linkname: "busybox"}, nil)
	}
	root := layer.close()
	config := map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Env": []string{"PATH=/bin"}, "Cmd": []string{"sh"}, "StopSignal": "SIGKILL"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(root))}},
	}
	const configName, layerName = "config.json", "layer.tar"
	manifest := []any{map[string]any{"Config": configName, "RepoTags": []string{Image + ":latest"}, "Layers": []string{layerName}}}
	image := new(archive)
	image.add(tar.Header{Typeflag: tar.TypeReg, Name: layerName, Mode: 0o644}, root)
	for name, value := range map[string]any{configName: config, "manifest.json": manifest} {
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("make image: %w", err)
		}
		image.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, text)
	}
	whole := image.close()
	if layer.err != nil || image.err != nil {
		return fmt.Errorf("make image: layer: %w, image: %w", layer.err, image.err)
	}
	return os.WriteFile(file, whole, 0o644)
}

// archive is a tar file in memory; err is the first thing that went wrong.
type archive struct {
	content bytes.Buffer
	w       *tar.Writer
	err     error
}

func (a *archive) add(h tar.Header, content []byte) {
	if a.w == nil {
		a.w = tar.NewWriter(&a.content)
	}
	h.Size, h.ModTime = int64(len(content)), time.Unix(0, 0)
	if a.err == nil {
		a.err = a.w.WriteHeader(&h)
	}
	if a.err == nil {
		_, a.err = a.w.Write(content)
	}
}

func (a *archive) close() []byte {
	if a.err == nil {
		a.err = a.w.Close()
	}
	return a.content.Bytes()
}
