// Package plan says what a revision would change: the objects, who reaches whom,
// and the live sessions that it would cut.
//
// It decides nothing: package policy compares two policies, and the sessions are
// judged by package session, as at a swap of revisions. A Plan is what is left of
// that for people and programs.
//
//	objects.go  objects that are added, changed and removed
//	plan.go     the Plan, of two policies
//	write.go    text, Markdown, JSON, YAML
package plan
