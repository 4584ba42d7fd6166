package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// watch takes each new revision of the source: all of it, or none of it and the
// last good one stays.
func (c *Controller) watch(ctx context.Context) error {
	updates, err := gitsource.Watch(ctx, c.cfg.Specs, c.cfg.Policies, gitsource.Options{})
	if err != nil {
		return err
	}
	for u := range updates {
		if u.Err != nil {
			c.refuse(ctx, []string{u.Err.Error()})
			continue
		}
		pol, errs := Load(u.Revision)
		if len(errs) > 0 {
			c.refuse(ctx, errs)
			continue
		}
		c.activate(ctx, pol, countFiles(u.Revision.Specs))
	}
	return ctx.Err()
}

// Load validates and compiles a revision. What is wrong comes as lines of
// FILE:LINE: TEXT; warnings are left out.
func Load(r gitsource.Revision) (*policy.Policy, []string) {
	network, found := spec.Load(r.Specs)
	var errs []string
	for _, p := range found {
		if !p.Warning {
			errs = append(errs, p.String())
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	pol, err := policy.Compile(r.ID, network, r.Policies)
	if err != nil {
		return nil, strings.Split(err.Error(), "\n")
	}
	return pol, nil
}

// activate makes a compiled revision the active one. Its cache gets the answers
// for the live sessions first, so that the swap itself is short.
func (c *Controller) activate(ctx context.Context, pol *policy.Policy, files int) {
	var queries []policy.Query
	if c.ask(ctx, func() { queries = c.engine.Sessions().Queries() }) != nil {
		return
	}
	for _, q := range queries {
		pol.Decide(time.Now(), q)
	}
	c.do(func() {
		c.revision = api.RevisionStatus{ID: pol.Revision(), Since: time.Now(), Files: files}
		c.step(engine.RevisionLoaded{Policy: pol})
		c.log.LogAttrs(ctx, slog.LevelInfo, "revision activated", slog.String("revision", pol.Revision()), slog.Int("files", files))
	})
}

// refuse notes why what is on disk is not active.
func (c *Controller) refuse(ctx context.Context, lines []string) {
	c.do(func() {
		c.revision.Refused = &api.RefusedRevision{At: time.Now(), Problems: lines}
		c.log.LogAttrs(ctx, slog.LevelError, "revision refused, the last good one stays",
			slog.String("revision", c.revision.ID), slog.Any("err", errors.New(strings.Join(lines, "\n"))))
	})
}

func countFiles(fsys fs.FS) int {
	n := 0
	err := fs.WalkDir(fsys, ".", func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("walk a tree in memory: %v", err))
	}
	return n
}
