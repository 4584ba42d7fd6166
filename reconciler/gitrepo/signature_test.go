package gitrepo

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// signed returns a key and its armored signature of a message, for a namespace.
func signed(t testing.TB, message, namespace string) (ssh.PublicKey, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha512.Sum512([]byte(message))
	sig, err := signer.Sign(rand.Reader, append([]byte(sshMagic), ssh.Marshal(struct{ Namespace, Reserved, Hash, Digest string }{namespace, "", "sha512", string(digest[:])})...))
	if err != nil {
		t.Fatal(err)
	}
	blob := ssh.Marshal(struct {
		Version                                         uint32
		PublicKey, Namespace, Reserved, Hash, Signature string
	}{1, string(signer.PublicKey().Marshal()), namespace, "", "sha512", string(ssh.Marshal(sig))})
	return signer.PublicKey(), pem.EncodeToMemory(&pem.Block{Type: sshType, Bytes: append([]byte(sshMagic), blob...)})
}

func TestSSHSignatureIsOfThisMessageForGit(t *testing.T) {
	key, armored := signed(t, "text", "git")
	if got, err := checkSSHSIG(armored, []byte("text")); err != nil || string(got.Marshal()) != string(key.Marshal()) {
		t.Errorf("a good signature: %v, %v", got, err)
	}
	if _, err := checkSSHSIG(armored, []byte("another")); err == nil {
		t.Error("a signature of another message is taken")
	}
	_, file := signed(t, "text", "file")
	if _, err := checkSSHSIG(file, []byte("text")); err == nil || !strings.Contains(err.Error(), "not for git") {
		t.Errorf("a signature for files: %v", err)
	}
}

func FuzzSSHSignature(f *testing.F) {
	_, good := signed(f, "text", "git")
	f.Add(string(good))
	f.Add("-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----")
	f.Fuzz(func(t *testing.T, armored string) {
		if key, err := checkSSHSIG([]byte(armored), []byte("a message that nobody signed")); err == nil {
			t.Errorf("%q is taken for a signature by %s", armored, ssh.FingerprintSHA256(key))
		}
	})
}

func TestAllowedSignersSayWhoForWhatAndWhen(t *testing.T) {
	key, _ := signed(t, "", "git")
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, text string
		want       string // principals, or part of the error after "!"
	}{
		{"plain", "ada@acme " + line, "ada@acme"},
		{"comment and blank before", "# who\n\nada@acme " + line, "ada@acme"},
		{"for git", `ada@acme namespaces="file,git" ` + line, "ada@acme"},
		{"for anything", `ada@acme namespaces="*" ` + line, "ada@acme"},
		{"for files only", `ada@acme namespaces="file" ` + line, "!for file only"},
		{"in time", `ada@acme valid-after="20260601Z",valid-before="20260602Z" ` + line, "ada@acme"},
		{"too early", `ada@acme valid-after="20260601120001Z" ` + line, "!valid after"},
		{"too late", `ada@acme valid-before="202606011200Z" ` + line, "!valid before"},
		{"a time that is none", `ada@acme valid-before="June" ` + line, "!June"},
		{"an authority of certificates", "ada@acme cert-authority " + line, "!cert-authority"},
		{"another's, then this", "eve@acme namespaces=\"file\" " + line + "\nada@acme " + line, "ada@acme"},
		{"nobody", "", "!not among"},
		{"no key", "ada@acme", "!line 1"},
	} {
		got, err := signerOf(tt.text, key, at)
		want, fails := strings.CutPrefix(tt.want, "!")
		switch {
		case fails && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %q, %v; want an error with %q", tt.name, got, err, want)
		case !fails && (err != nil || got != want):
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, want)
		}
	}
}

func TestTextsOfCommitsAreShortAndPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"let web ask db":          "let web ask db",
		"\x1b[31mred\x00\r":       "[31mred",
		"half \xff":               "half \ufffd",
		strings.Repeat("é", 1000): strings.Repeat("é", maxText/2),
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%.20q) = %q; want %q", in, got, want)
		}
	}
}
