package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/reconciler/api"
)

// past is a history: the verdict of each revision, the newest first; "" can't be
// asked.
type past struct {
	verdicts []string
	asked    map[string]int
	broken   bool // nobody answers any more
}

func (p *past) Revisions(context.Context) ([]api.Revision, error) {
	list := []api.Revision{{ID: "refused", State: api.RevisionRefused}}
	for i := range p.verdicts {
		list = append(list, api.Revision{ID: fmt.Sprintf("r%03d", i), State: api.RevisionPast})
	}
	return list, nil
}

func (p *past) Why(_ context.Context, q api.Pair) (api.Why, error) {
	var i int
	if _, err := fmt.Sscanf(q.Revision, "r%d", &i); err != nil {
		return api.Why{}, err
	}
	if p.asked[q.Revision]++; p.verdicts[i] == "" {
		return api.Why{}, &api.Error{Code: api.CodeNotFound, Message: "no longer stored"}
	}
	if p.broken && i > 0 {
		return api.Why{}, &api.UnreachableError{Socket: "s"}
	}
	return api.Why{Decision: api.Decision{Verdict: p.verdicts[i]}}, nil
}

func TestBisectFindsAChangeInFewQuestions(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := 2; n <= 100; n++ {
		p := &past{asked: map[string]int{}}
		change := 1 + random.IntN(n-1) // the first with the other verdict
		for i := range n {
			p.verdicts = append(p.verdicts, map[bool]string{true: "drop", false: "allow"}[i < change])
		}
		b, err := bisect(t.Context(), p, api.Pair{}, "", "")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := b.After.Revision.ID+" "+b.Before.Revision.ID, fmt.Sprintf("r%03d r%03d", change-1, change); got != want || b.Asked > 9 {
			t.Errorf("of %d revisions: change is %s in %d questions; want %s in at most 9", n, got, b.Asked, want)
		}
	}
}

func TestBisectSkipsWhatCantBeAsked(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		p := &past{asked: map[string]int{}}
		for range 2 + random.IntN(40) {
			p.verdicts = append(p.verdicts, []string{"", "", "allow", "drop", "reject"}[random.IntN(5)])
		}
		p.verdicts[0] = "drop"
		b, err := bisect(t.Context(), p, api.Pair{}, "", "")
		for id, times := range p.asked {
			if times > 1 {
				t.Fatalf("%v: %s is asked %d times", p.verdicts, id, times)
			}
		}
		if err != nil {
			oldest := ""
			for _, v := range p.verdicts[1:] {
				if v != "" {
					oldest = v
				}
			}
			if oldest != "" && oldest != "drop" {
				t.Fatalf("%v: %v", p.verdicts, err)
			}
			continue
		}
		var after, before int
		fmt.Sscanf(b.After.Revision.ID+b.Before.Revision.ID, "r%03dr%03d", &after, &before)
		if p.verdicts[after] != "drop" || p.verdicts[before] == "drop" || p.verdicts[before] == "" || strings.Join(p.verdicts[after+1:before], "") != "" || len(b.Suspects) != before-after-1 {
			t.Fatalf("%v: change is from %d to %d, with %d suspects", p.verdicts, before, after, len(b.Suspects))
		}
	}
}

func TestBisectEndsWhenNobodyAnswers(t *testing.T) {
	p := &past{verdicts: []string{"drop", "allow", "allow"}, asked: map[string]int{}, broken: true}
	if _, err := bisect(t.Context(), p, api.Pair{}, "", ""); !errors.As(err, new(*api.UnreachableError)) {
		t.Errorf("bisect = %v; want that the controller can't be reached", err)
	}
}
