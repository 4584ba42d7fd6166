package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/daolinet/daolinet/hostd/docker"
	"github.com/daolinet/daolinet/hostd/identity"
)

// leftAs is how a leave went.
type leftAs struct {
	answer LeaveAnswer
	err    error
}

// errNotJoined says that there is nothing to leave.
var errNotJoined = errors.New("the host has not joined")

// Leave is what a running agent does when it leaves, where none runs. Of cfg,
// StateDir, OVSRunDir, Docker, PluginSocket and Logger count. On a host that has
// left it takes from Docker what could not be taken then.
func Leave(ctx context.Context, cfg Config, q LeaveRequest) (LeaveAnswer, error) {
	s, err := openStore(cfg.StateDir)
	if err != nil {
		return LeaveAnswer{}, err
	}
	defer s.close()
	state, err := s.host()
	if err != nil {
		return LeaveAnswer{}, err
	}
	if state.Uplink == "" {
		networks, err := s.dockerNetworks()
		if err != nil {
			return LeaveAnswer{}, err
		}
		if len(networks) == 0 {
			return LeaveAnswer{}, fmt.Errorf("%w: %s says nothing of an uplink", errNotJoined, cfg.StateDir)
		}
		return LeaveAnswer{Docker: text(withdraw(ctx, cfg, s, q))}, nil
	}
	cfg.Bridge, cfg.Datapath = state.Bridge, state.Datapath
	id, err := identity.Open(IdentityDir(cfg.StateDir))
	if err != nil && !errors.Is(err, identity.ErrNone) {
		return LeaveAnswer{}, err
	}
	p, err := newPlug(cfg, s, state)
	if err != nil {
		return LeaveAnswer{}, err
	}
	stop := serveBridge(p.bridge)
	defer stop()
	if err := p.detachSaved(ctx, q.Force); err != nil {
		return LeaveAnswer{}, err
	}
	left := text(withdraw(ctx, cfg, s, q))
	answer, err := p.leave(ctx, id)
	answer.Docker = left
	return answer, err
}

// withdraw takes hostd's networks out of Docker, where no agent runs.
func withdraw(ctx context.Context, cfg Config, s *store, q LeaveRequest) error {
	if cfg.Docker == "" || cfg.Docker == docker.None {
		return nil
	}
	networks, err := s.dockerNetworks()
	if err != nil {
		return err
	}
	return docker.WithdrawAlone(ctx, docker.Config{
		Socket: cfg.Docker, PluginSocket: cfg.PluginSocket, Networks: networks, Save: s.saveDockerNetworks, Logger: cfg.Logger,
	}, docker.Withdrawal{Disconnect: q.Force})
}

// detachSaved takes down the endpoints that were saved, if it may.
func (p *plug) detachSaved(ctx context.Context, force bool) error {
	saved, err := p.store.endpoints()
	if err != nil {
		return err
	}
	if len(saved) > 0 && !force {
		return attached(len(saved))
	}
	for _, e := range saved {
		if err := p.unplumb(ctx, e); err != nil {
			return fmt.Errorf("detach %s: %w", e.Ref, err)
		}
		if err := p.store.forgetEndpoint(e.Ref); err != nil {
			return err
		}
	}
	return nil
}

func attached(n int) error {
	return fmt.Errorf("%d endpoints are attached: detach them, or use --force", n)
}

// leave gives everything back and forgets it, tells a controller, and deletes the
// identity. id may be nil: there is none.
func (p *plug) leave(ctx context.Context, id *identity.Identity) (LeaveAnswer, error) {
	if p.state.Uplink == "" {
		return LeaveAnswer{}, errNotJoined
	}
	exists, err := p.bridge.Exists(ctx)
	if err != nil {
		return LeaveAnswer{}, err
	}
	if err := p.giveBack(ctx, exists); err != nil {
		return LeaveAnswer{}, err
	}
	if exists {
		if err := p.bridge.Delete(ctx); err != nil {
			return LeaveAnswer{}, err
		}
	}
	if p.drop != nil {
		if err := p.drop.Remove(ctx); err != nil {
			return LeaveAnswer{}, err
		}
	}
	p.log.Info("uplink left", slog.String("uplink", p.state.Uplink))
	p.state = hostState{NextPort: p.state.NextPort}
	if err := p.store.saveHost(p.state); err != nil {
		return LeaveAnswer{}, err
	}
	answer := p.tell(ctx, id)
	return answer, identity.Leave(IdentityDir(p.store.dir))
}

// tell tells a controller that the host is gone: over the uplink as it was before
// it joined, so that this comes last.
func (p *plug) tell(ctx context.Context, id *identity.Identity) LeaveAnswer {
	if id == nil {
		return LeaveAnswer{Untold: "the host has no certificate"}
	}
	a := LeaveAnswer{Host: id.Host()}
	if err := id.Leave(ctx); err != nil {
		p.log.Warn("no controller was told that the host is gone", slog.Any("err", err))
		a.Untold = err.Error()
	}
	return a
}

// text is what an error says; empty: there is none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
