package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func (s *story) edit() error {
	s.step("An edit of a YAML file, while a transfer runs")
	const file, old, new = "tenants/acme/prod.yaml", "tcp/5432", "tcp/6379"
	if err := s.serve(s.db1, "tcp4", 6379); err != nil {
		return err
	}
	if _, _, err := s.ask(s.web1, "tcp4", s.db1.AddrPort(6379), ""); !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("port 6379 before the edit: %v, not refused", err)
	}
	c, _, err := s.ask(s.web1, "tcp4", s.db1.AddrPort(5432), "dump all;")
	if err != nil {
		return err
	}
	cut, flowing := make(chan transferEnd, 1), make(chan struct{})
	go transfer(c, flowing, cut)
	select {
	case <-flowing:
	case end := <-cut:
		return fmt.Errorf("the transfer ended by itself: %w", end.err)
	}
	s.done("web1 > db1:5432 transfers, db1:6379 refuses")
	line, err := s.lineOf(file, old)
	if err != nil {
		return err
	}
	s.command(fmt.Sprintf("sed -i '%ds,%s,%s,' %s", line, old, new, file))
	path := filepath.Join(s.Specs(), file)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o644); err != nil {
		return err
	}
	select {
	case end := <-cut:
		if !errors.Is(end.err, syscall.ECONNRESET) && !errors.Is(end.err, syscall.EPIPE) {
			return fmt.Errorf("the transfer ended with %w, not with a reset", end.err)
		}
		s.done("the transfer was cut %.0f ms after the file was written, having moved %d MB: %v", ms(time.Since(began)), end.bytes>>20, end.err)
	case <-time.After(10 * time.Second):
		return errors.New("the transfer goes on 10 s after the edit")
	}
	_, answer, err := s.ask(s.web1, "tcp4", s.db1.AddrPort(6379), "now?")
	if err != nil {
		return fmt.Errorf("port 6379 after the edit: %w", err)
	}
	s.done("web1 > db1:6379: %q", answer)
	return nil
}

// transferEnd is how a transfer ended, and after how many bytes each way.
type transferEnd struct {
	bytes int
	err   error
}

// transfer sends and reads back until that fails; flowing is closed after the
// first megabyte.
func transfer(c net.Conn, flowing chan struct{}, cut chan transferEnd) {
	chunk := make([]byte, 16<<10)
	for n := 0; ; n += len(chunk) {
		if n == 1<<20 {
			close(flowing)
		}
		if _, err := c.Write(chunk); err != nil {
			cut <- transferEnd{n, err}
			return
		}
		if _, err := io.ReadFull(c, chunk); err != nil {
			cut <- transferEnd{n, err}
			return
		}
	}
}

// lineOf returns the number of the line in a spec file that holds text.
func (s *story) lineOf(file, text string) (int, error) {
	b, err := os.ReadFile(filepath.Join(s.Specs(), file))
	if err != nil {
		return 0, err
	}
	before, _, found := strings.Cut(string(b), text)
	if !found {
		return 0, fmt.Errorf("no %q in %s", text, file)
	}
	return strings.Count(before, "\n") + 1, nil
}

// showLines shows a spec file from the line that begins with text on.
func (s *story) showLines(file, text string) error {
	first, err := s.lineOf(file, text)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(s.Specs(), file))
	if err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if i+1 >= first {
			s.show(fmt.Sprintf("%3d  %s", i+1, line))
		}
	}
	return nil
}
