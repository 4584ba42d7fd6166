package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/reconciler/api"
)

func (a *app) bisectCommand() *cobra.Command {
	var good, bad string
	cmd := &cobra.Command{
		Use:   "bisect FROM TO:PORT",
		Short: "The revision that changed the verdict of a pair",
		Long: `The revision that changed the verdict of a pair, its commit, and the rule and line
before and after. The ends are written as for why.

It asks the controller's stored revisions why, about the containers that are there
now, and halves what is left: some seven questions for a hundred revisions. --bad is
the revision whose verdict is asked about, the newest unless said; --good an older one
with another verdict, the oldest unless said. Of several changes between it finds one.

A revision that can't be asked is skipped: it is no longer stored, or an end has no
place in it. Where such ones lie next to the change, they are named: it may be theirs.`,
		Example: `  # since when can't web1 reach the database, and by whose commit?
  daolictl bisect web1 db1:5432

  # it was fine on Friday
  daolictl get revisions
  daolictl bisect web1 db1:5432 --good 9f3c2a1b`,
		Args:              pairArgs,
		ValidArgsFunction: a.completeEndpoint,
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := parsePair(args)
			if err != nil {
				return err
			}
			return show(a, func() (bisection, error) { return bisect(cmd.Context(), a.client(), q, good, bad) }, a.printBisection)
		},
	}
	cmd.Flags().StringVar(&good, "good", "", "older revision with another verdict, by the beginning of its id or commit (default: the oldest)")
	cmd.Flags().StringVar(&bad, "bad", "", "revision whose verdict is asked about, likewise (default: the newest)")
	return cmd
}

// bisection is a change of a verdict.
type bisection struct {
	Before answered `json:"before"`
	After  answered `json:"after"`
	// Suspects lie between the two and could not be asked, the newest first.
	Suspects []api.Revision `json:"suspects,omitempty"`
	Asked    int            `json:"asked"`   // revisions
	Skipped  int            `json:"skipped"` // of those, that could not be asked
}

// answered is a revision with its answer.
type answered struct {
	Revision api.Revision `json:"revision"`
	Why      api.Why      `json:"why"`
}

// asker is what bisect asks.
type asker interface {
	Revisions(context.Context) ([]api.Revision, error)
	Why(context.Context, api.Pair) (api.Why, error)
}

// bisector asks revisions, each once.
type bisector struct {
	asker
	pair      api.Pair
	revisions []api.Revision // that were in force, the newest first
	answers   map[int]*api.Why
	skipped   int
}

// bisect finds the change of q's verdict between the revisions good and bad.
func bisect(ctx context.Context, c asker, q api.Pair, good, bad string) (bisection, error) {
	all, err := c.Revisions(ctx)
	if err != nil {
		return bisection{}, err
	}
	b := &bisector{asker: c, pair: q, answers: make(map[int]*api.Why)}
	b.revisions = slices.DeleteFunc(all, func(r api.Revision) bool { return r.State == api.RevisionRefused })
	after, before, err := b.ends(ctx, good, bad)
	if err != nil {
		return bisection{}, err
	}
	for newest := b.verdict(after); ; {
		i, err := b.middle(ctx, after, before)
		if err != nil {
			return bisection{}, err
		}
		switch {
		case i < 0:
			return bisection{
				Before: b.answered(before), After: b.answered(after), Suspects: b.revisions[after+1 : before],
				Asked: len(b.answers), Skipped: b.skipped,
			}, nil
		case b.verdict(i) == newest:
			after = i
		default:
			before = i
		}
	}
}

// ends returns the revisions to begin with, whose verdicts differ.
func (b *bisector) ends(ctx context.Context, good, bad string) (after, before int, err error) {
	if after, err = b.find(bad, 0); err != nil {
		return 0, 0, err
	}
	if b.answers[after], err = b.why(ctx, after); err != nil {
		return 0, 0, err
	}
	if good != "" {
		if before, err = b.find(good, after+1); err == nil {
			b.answers[before], err = b.why(ctx, before)
		}
	} else {
		before, err = b.oldest(ctx, after)
	}
	if err == nil && b.verdict(before) == b.verdict(after) {
		err = &api.Error{
			Code: api.CodeNotFound, Message: fmt.Sprintf("%s and %s both say %s", short(b.revisions[before].ID), short(b.revisions[after].ID), b.verdict(after)),
			Hint: "--good REVISION names one with another verdict; daolictl get revisions lists them",
		}
	}
	return after, before, err
}

// find returns the newest revision, not before the i-th, whose id, digest or commit
// begins with name; for "" the i-th.
func (b *bisector) find(name string, i int) (int, error) {
	found := -1
	for ; i < len(b.revisions); i++ {
		r := &b.revisions[i]
		switch {
		case !r.Begins(name):
		case found < 0:
			found = i
		case name != "" && r.ID != b.revisions[found].ID:
			return 0, &api.Error{Code: api.CodeAmbiguous, Message: fmt.Sprintf("%q begins several revisions", name), Hint: "daolictl get revisions lists them"}
		}
	}
	if found < 0 {
		return 0, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no revision %q to bisect with was in force", name),
			Hint: "daolictl get revisions lists them; --good is older than --bad"}
	}
	return found, nil
}

// oldest returns the oldest revision before the one after that answers.
func (b *bisector) oldest(ctx context.Context, after int) (int, error) {
	for i := len(b.revisions) - 1; i > after; i-- {
		if answers, err := b.ask(ctx, i); err != nil || answers {
			return i, err
		}
	}
	return 0, &api.Error{Code: api.CodeNotFound, Message: "no older revision can be asked", Hint: "daolictl get revisions lists them"}
}

// middle returns the revision between two that answers and is nearest to their
// middle, or -1.
func (b *bisector) middle(ctx context.Context, after, before int) (int, error) {
	from := (after + before) / 2
	for away := range before - after {
		for _, i := range []int{from - away, from + away} {
			if i <= after || i >= before {
				continue
			}
			if answers, err := b.ask(ctx, i); err != nil || answers {
				return i, err
			}
		}
	}
	return -1, nil
}

// ask reports whether a revision has an answer. What the controller refuses is none;
// that nobody is there is an error.
func (b *bisector) ask(ctx context.Context, i int) (bool, error) {
	known, found := b.answers[i]
	if found {
		return known != nil, nil
	}
	w, err := b.why(ctx, i)
	if err != nil && !errors.As(err, new(*api.Error)) {
		return false, err
	}
	if b.answers[i] = w; w == nil {
		b.skipped++
	}
	return w != nil, nil
}

func (b *bisector) why(ctx context.Context, i int) (*api.Why, error) {
	q := b.pair
	q.Revision = b.revisions[i].ID
	w, err := b.Why(ctx, q)
	if err != nil {
		return nil, err
	}
	return &w, nil
}

func (b *bisector) verdict(i int) string { return b.answers[i].Decision.Verdict }

func (b *bisector) answered(i int) answered { return answered{b.revisions[i], *b.answers[i]} }

func (a *app) printBisection(b bisection) {
	w := &b.After.Why
	v := verdict(w.Decision.Verdict)
	fmt.Fprintf(a.out, "%s  %s > %s  %s\n", a.paint(v.c, v.text), end(w.From), end(w.To), port(w.Proto, w.Port))
	a.fact("since", "revision %s, in force from %s", short(b.After.Revision.ID), b.After.Revision.At.UTC().Format(time.DateTime))
	a.printCommit(b.After.Revision.Commit)
	a.printAnswer("after", &b.After)
	a.printAnswer("before", &b.Before)
	a.fact("asked", "%s, %d skipped", plural(b.Asked, "revision"), b.Skipped)
	for _, r := range b.Suspects {
		a.fact("", "%s", a.paint(yellow, short(r.ID)+" could not be asked: the change may be its own"))
		a.printCommit(r.Commit)
	}
}

// printAnswer prints what a revision says in a line.
func (a *app) printAnswer(name string, one *answered) {
	d := &one.Why.Decision
	text := d.Verdict + " " + d.Reason
	if d.Rule != "" {
		text += " " + d.Rule
	}
	if d.At != "" {
		text += " at " + a.paint(bold, d.At)
	}
	a.fact(name, "%s, by revision %s", text, short(one.Revision.ID))
}
