package gitrepo

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing/object"
	"golang.org/x/sys/unix"
)

// Names of the archive's first entry.
const (
	CommitEntry    = "commit.json"    // a Commit follows, and the files of its tree
	UnchangedEntry = "unchanged.json" // the branch is at Request.Known; nothing follows
)

// Serve does what the Request asks that it reads from in, as JSON, and writes a tar
// archive to out: an entry with the Commit, then the files of its tree, under their
// paths in it.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	var q Request
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	repo, err := open(&q)
	if err != nil {
		return err
	}
	c, err := fetchCommit(ctx, repo, &q)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(out)
	if c == nil {
		if err := writeJSON(archive, UnchangedEntry, struct{}{}); err != nil {
			return err
		}
		return archive.Close()
	}
	described := describe(c)
	if q.Verify {
		if described.Signer, err = verify(&q, c); err != nil {
			return err
		}
	}
	if err := writeJSON(archive, CommitEntry, described); err != nil {
		return err
	}
	if err := writeTree(archive, repo.Storer, &q, c); err != nil {
		return err
	}
	return archive.Close()
}

func writeJSON(out *tar.Writer, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(b)), Mode: 0o444}); err != nil {
		return err
	}
	_, err = out.Write(b)
	return err
}

// describe returns what is told of a commit; its texts are whoever's, so bounded
// and printable.
func describe(c *object.Commit) Commit {
	subject, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	return Commit{
		Hash: c.Hash.String(), Author: printable(c.Author.Name), Email: printable(c.Author.Email),
		When: c.Committer.When.UTC(), Subject: printable(subject),
	}
}

func printable(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	for len(s) > maxText {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

// Limits of the process that fetches.
const (
	maxMemory  = 1 << 30 // bytes
	maxFile    = 1 << 30 // bytes of each file that it writes
	maxCPU     = 120     // seconds
	maxOpenFDs = 256
)

// Confine puts this process under its limits, which end it rather than let it take
// more.
func Confine() error {
	for _, l := range []struct {
		what int
		most uint64
	}{
		{unix.RLIMIT_DATA, maxMemory}, {unix.RLIMIT_FSIZE, maxFile}, {unix.RLIMIT_CPU, maxCPU},
		{unix.RLIMIT_NOFILE, maxOpenFDs}, {unix.RLIMIT_CORE, 0},
	} {
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: l.most, Max: l.most}); err != nil {
			return fmt.Errorf("limit the process that fetches: %w", err)
		}
	}
	return nil
}
