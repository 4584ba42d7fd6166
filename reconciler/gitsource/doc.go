// Package gitsource brings the desired state in: a directory of YAML and one of
// Rego, on disk or of a commit, become a Revision, a consistent reading that is held in memory, and each
// change of them becomes the next one. It does not look into the files; package
// spec and package policy do, and say what is wrong there.
//
//	ReadDir  reads once
//	Watch    reads now and after each change
//	WatchGit reads the head of a branch, now and when it has moved
//
// Whatever lies in the directories, reading ends soon and takes bounded memory:
// FIFOs are not opened, symbolic links not followed, and of what is too long no
// more is read than lets package spec refuse it.
package gitsource
