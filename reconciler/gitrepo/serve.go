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

	"github.com/daolinet/daolinet/reconciler/confine"
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

// Confine puts this process under the limits of one that fetches.
func Confine() error {
	return confine.Limits{Memory: 1 << 30, File: 1 << 30, CPU: 120, FDs: 256}.Apply()
}
