// Package gitrepo brings a branch of a git repository in: it fetches what is
// new, decides whether the new commit may follow the last one that was taken,
// and reads the commit's tree.
//
// A remote, and whoever may push to it, can do much to who fetches: packs without
// end, objects that swell, histories of millions of commits, silence. So the
// controller runs Serve in a child process under limits that a kernel enforces
// (package gitsource), and what comes back is a plain, bounded archive.
package gitrepo
