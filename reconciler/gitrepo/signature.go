package gitrepo

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"golang.org/x/crypto/ssh"
)

// verify returns whose trusted signature a commit has.
func verify(q *Request, c *object.Commit) (signer string, err error) {
	switch {
	case c.PGPSignature == "":
		err = errors.New("it has no signature")
	case strings.HasPrefix(strings.TrimSpace(c.PGPSignature), sshBegin):
		signer, err = verifySSH(q.AllowedSigners, c)
	default:
		signer, err = verifyOpenPGP(q.Keyring, c)
	}
	if err != nil {
		return "", fmt.Errorf("commit %s by %s <%s> is not trusted: %w", short(c.Hash.String()), c.Author.Name, c.Author.Email, err)
	}
	return signer, nil
}

func verifyOpenPGP(keyring string, c *object.Commit) (string, error) {
	if keyring == "" {
		return "", errors.New("it is signed by OpenPGP, and no keyring is given (--git-keyring)")
	}
	armored, err := os.ReadFile(keyring)
	if err != nil {
		return "", err
	}
	e, err := c.Verify(string(armored))
	if err != nil {
		return "", err
	}
	for name := range e.Identities {
		return name, nil
	}
	return e.PrimaryKey.KeyIdString(), nil
}

// The armor of SSH signatures (OpenSSH, PROTOCOL.sshsig), and what git signs for.
const (
	sshBegin     = "-----BEGIN SSH SIGNATURE-----"
	sshType      = "SSH SIGNATURE"
	sshMagic     = "SSHSIG"
	sshNamespace = "git"
)

func verifySSH(file string, c *object.Commit) (string, error) {
	if file == "" {
		return "", errors.New("it is signed by SSH, and no signers are given (--git-allowed-signers)")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var enc plumbing.MemoryObject
	if err := c.EncodeWithoutSignature(&enc); err != nil {
		return "", err
	}
	r, err := enc.Reader()
	if err != nil {
		return "", err
	}
	message, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	key, err := checkSSHSIG([]byte(c.PGPSignature), message)
	if err != nil {
		return "", err
	}
	return signerOf(string(text), key, c.Committer.When)
}

// checkSSHSIG returns the key that made an armored signature of a message for git.
func checkSSHSIG(armored, message []byte) (ssh.PublicKey, error) {
	block, _ := pem.Decode(bytes.TrimSpace(armored))
	if block == nil || block.Type != sshType || !bytes.HasPrefix(block.Bytes, []byte(sshMagic)) {
		return nil, errors.New("its SSH signature can't be read")
	}
	var blob struct {
		Version                              uint32
		PublicKey                            []byte
		Namespace, Reserved, Hash, Signature string
	}
	if err := ssh.Unmarshal(block.Bytes[len(sshMagic):], &blob); err != nil || blob.Version != 1 {
		return nil, errors.New("its SSH signature can't be read")
	}
	if blob.Namespace != sshNamespace {
		return nil, fmt.Errorf("its SSH signature is for %q, not for git", blob.Namespace)
	}
	var digest []byte
	switch blob.Hash {
	case "sha256":
		h := sha256.Sum256(message)
		digest = h[:]
	case "sha512":
		h := sha512.Sum512(message)
		digest = h[:]
	default:
		return nil, fmt.Errorf("its SSH signature uses the hash %q", blob.Hash)
	}
	key, err := ssh.ParsePublicKey(blob.PublicKey)
	if err != nil {
		return nil, err
	}
	var sig ssh.Signature
	if err := ssh.Unmarshal([]byte(blob.Signature), &sig); err != nil {
		return nil, err
	}
	if sig.Format == ssh.KeyAlgoRSA {
		return nil, errors.New("its SSH signature uses SHA-1")
	}
	signed := ssh.Marshal(struct{ Namespace, Reserved, Hash, Digest string }{blob.Namespace, blob.Reserved, blob.Hash, string(digest)})
	if err := key.Verify(append([]byte(sshMagic), signed...), &sig); err != nil {
		return nil, err
	}
	return key, nil
}

// signerOf returns the principals under which a file of allowed signers lists a key
// for git at a time (ssh-keygen(1), ALLOWED SIGNERS).
func signerOf(text string, key ssh.PublicKey, at time.Time) (string, error) {
	want := key.Marshal()
	why := errors.New("its SSH key is not among the allowed signers")
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		principals, rest, found := strings.Cut(line, " ")
		if !found {
			return "", fmt.Errorf("allowed signers, line %d: no key", n+1)
		}
		listed, _, options, _, err := ssh.ParseAuthorizedKey([]byte(rest))
		if err != nil {
			return "", fmt.Errorf("allowed signers, line %d: %w", n+1, err)
		}
		if !bytes.Equal(listed.Marshal(), want) {
			continue
		}
		if err := permits(options, at); err != nil {
			why = fmt.Errorf("its SSH key is an allowed signer's (line %d), but %w", n+1, err)
			continue
		}
		return principals, nil
	}
	return "", why
}

// permits reports why options of an allowed signer don't cover a commit made at a time.
func permits(options []string, at time.Time) error {
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		value = strings.Trim(value, `"`)
		switch strings.ToLower(name) {
		case "namespaces":
			if !listsNamespace(value) {
				return fmt.Errorf("for %s only", value)
			}
		case "valid-after":
			t, err := signerTime(value)
			if err != nil {
				return err
			}
			if at.Before(t) {
				return fmt.Errorf("valid after %s only", value)
			}
		case "valid-before":
			t, err := signerTime(value)
			if err != nil {
				return err
			}
			if !at.Before(t) {
				return fmt.Errorf("valid before %s only", value)
			}
		default: // cert-authority among them
			return fmt.Errorf("its option %s is not known here", name)
		}
	}
	return nil
}

func listsNamespace(list string) bool {
	for n := range strings.SplitSeq(list, ",") {
		if n == sshNamespace || n == "*" {
			return true
		}
	}
	return false
}

// signerTime reads YYYYMMDD[HHMM[SS]][Z]; without Z it is local time.
func signerTime(s string) (time.Time, error) {
	where := time.Local
	digits, utc := strings.CutSuffix(s, "Z")
	if utc {
		where = time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(layout) == len(digits) {
			return time.ParseInLocation(layout, digits, where)
		}
	}
	return time.Time{}, fmt.Errorf("its time %q is not YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS", s)
}
