package bench

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Machine describes the machine of a run in one line: processor, cores, memory,
// system, Open vSwitch, and how busy it is with other things.
func Machine() string {
	parts := []string{
		or(field("/proc/cpuinfo", "model name"), "unknown processor"),
		fmt.Sprintf("%d cores", runtime.NumCPU()),
		memory(),
		system(),
		openVSwitch(),
		strings.Replace(runtime.Version(), "go", "Go ", 1),
		"load " + busy(),
	}
	return strings.Join(parts, ", ")
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// field returns the value of the first line "name : value" of a file; "" where
// there is none.
func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func memory() string {
	var kib int
	if _, err := fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%d kB", &kib); err != nil {
		return "unknown memory"
	}
	return fmt.Sprintf("%.0f GB", float64(kib)*1024/1e9)
}

func system() string {
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown kernel"
	}
	return "Linux " + strings.TrimSpace(string(kernel))
}

// openVSwitch returns the version, from "ovs-vswitchd (Open vSwitch) 3.1.0".
func openVSwitch() string {
	out, err := exec.Command("ovs-vswitchd", "--version").Output()
	first, _, _ := strings.Cut(string(out), "\n")
	words := strings.Fields(first)
	if err != nil || len(words) == 0 {
		return "no Open vSwitch"
	}
	return "Open vSwitch " + words[len(words)-1]
}

// busy returns the average number of runnable processes of the last minute.
func busy() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
