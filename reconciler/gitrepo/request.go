package gitrepo

import (
	"time"
)

// Request is what is to be fetched.
type Request struct {
	URL string // as git clone takes it: https, ssh, file, or a path
	Ref string // a branch, or a full name such as refs/tags/v1
	Dir string // bare repository in which objects are kept from one time to the next

	// Specs and Policies are the directories of the tree that are read. Policies
	// may be missing there.
	Specs, Policies string

	Last        string // commit that was last taken; "": none
	Known       string // commit whose tree the asker has; "": none
	AllowRewind bool   // a commit may be taken that is no descendant of Last

	SSHKey     string // file of a private key without passphrase; "": the agent's
	KnownHosts string // file; "": the user's
	TokenFile  string // file of a token or password for https; "": none

	Verify         bool   // the commit must have a signature that is trusted
	AllowedSigners string // file of trusted SSH keys, as git's gpg.ssh.allowedSignersFile (ssh-keygen(1))
	Keyring        string // file of trusted OpenPGP keys, armored
}

// Commit says who made a revision, when, and what they say of it.
type Commit struct {
	Hash    string    `json:"hash"`
	Author  string    `json:"author"`
	Email   string    `json:"email"`
	When    time.Time `json:"when"`
	Subject string    `json:"subject"`          // first line of the message
	Signer  string    `json:"signer,omitempty"` // whose signature was verified
}

// maxText bounds each of a commit's texts, in bytes.
const maxText = 200
