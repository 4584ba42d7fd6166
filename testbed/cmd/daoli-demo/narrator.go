package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// narrator prints the story, in colour on a terminal.
type narrator struct {
	w      io.Writer
	colour bool
	steps  int
}

func newNarrator(f *os.File) *narrator {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return &narrator{w: f, colour: err == nil && os.Getenv("NO_COLOR") == ""}
}

// Styles (ECMA-48 SGR parameters).
const (
	bold  = "1"
	green = "32"
	faint = "2"
	cyan  = "36"
)

func (n *narrator) paint(style, text string) string {
	if !n.colour {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (n *narrator) title(text string) {
	fmt.Fprintf(n.w, "%s\n\n", n.paint(bold, text))
}

// step begins a numbered part of the story.
func (n *narrator) step(format string, args ...any) {
	n.steps++
	fmt.Fprintf(n.w, "\n%s\n", n.paint(bold, fmt.Sprintf("%d. %s", n.steps, fmt.Sprintf(format, args...))))
}

func (n *narrator) say(format string, args ...any) {
	fmt.Fprintf(n.w, "   %s\n", fmt.Sprintf(format, args...))
}

// done says what was done and checked.
func (n *narrator) done(format string, args ...any) {
	fmt.Fprintf(n.w, "   %s %s\n", n.paint(green, "ok"), fmt.Sprintf(format, args...))
}

// command shows what a user would type.
func (n *narrator) command(text string) {
	fmt.Fprintf(n.w, "   %s\n", n.paint(cyan, prompt(text)))
}

// show prints output of a program.
func (n *narrator) show(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Fprintf(n.w, "     %s\n", n.paint(faint, strings.TrimRight(line, "\n")))
	}
}

// prompt puts a prompt before a command, unless it says by one where it is typed.
func prompt(text string) string {
	if strings.Contains(strings.Split(text, " ")[0], "#") {
		return text
	}
	return "$ " + text
}
