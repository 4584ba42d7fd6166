package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/daolinet/daolinet/hostd/hostpb"
	dns "github.com/daolinet/daolinet/hostd/names"
	"github.com/daolinet/daolinet/hostd/nic"
	"github.com/daolinet/daolinet/hostd/uplink"
)

// resolveWait bounds the look-up of the controllers' names.
const resolveWait = 2 * time.Second

// names knows the addresses of the controllers that the host was told. One
// goroutine uses it at a time.
type names struct {
	controllers []string // HOST:PORT
	resolve     func(ctx context.Context, controller string) ([]netip.Addr, error)
	last        map[string][]netip.Addr // what each had when it was found last
	log         *slog.Logger
}

func newNames(controllers []string, log *slog.Logger) *names {
	return &names{controllers: controllers, resolve: resolve, last: map[string][]netip.Addr{}, log: log}
}

// addresses returns them as they are now. A name that is not found has the
// addresses that it had: a controller does not become a stranger because a name
// server is away.
func (n *names) addresses(ctx context.Context) []netip.Addr {
	look, cancel := context.WithTimeout(ctx, resolveWait)
	defer cancel()
	var out []netip.Addr
	for _, c := range n.controllers {
		found, err := n.resolve(look, c)
		if err == nil {
			n.last[c] = found
		} else if ctx.Err() == nil {
			n.log.Warn("controller was not found by name", slog.String("controller", c), slog.Any("err", err))
		}
		out = append(out, n.last[c]...)
	}
	return listed(out)
}

// resolve returns the IPv4 addresses of HOST:PORT.
func resolve(ctx context.Context, controller string) ([]netip.Addr, error) {
	host, _, err := net.SplitHostPort(controller)
	if err != nil {
		return nil, fmt.Errorf("read address %q: %w", controller, err)
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found, nil
}

// know looks at the addresses for the first time.
func (l *loop) know(ctx context.Context) error {
	own, err := nic.Addresses()
	if err != nil {
		return err
	}
	l.own, l.told, l.given = own, l.senses.names.addresses(ctx), dns.Given(l.cfg.resolvConf())
	l.addressesChanged()
	return nil
}

// addressesChanged reports the addresses if they are others than before.
func (l *loop) addressesChanged() {
	now := reported(uplink.Addresses{
		Own:         listed(without(l.own, l.host.Link.Addr.Addr())),
		Controllers: controllerAddresses(l.told, l.live, l.plug.state.Controllers),
		Resolvers:   listed(slices.Clone(l.given)),
	}, l.cfg.Logger)
	if slices.Equal(now.Own, l.host.Own) && slices.Equal(now.Controllers, l.host.Controllers) &&
		slices.Equal(now.Resolvers, l.host.Resolvers) {
		return
	}
	l.host.Addresses = now
	if l.session != nil {
		l.send(uplink.AddressesMsg(l.machine.NextSeq(), now))
	}
}

// controllerAddresses joins all that the host knows of where its controllers
// are: what their names resolve to, where the stream goes, and the OpenFlow
// targets that one of them told.
func controllerAddresses(told []netip.Addr, live netip.Addr, targets []string) []netip.Addr {
	out := append(slices.Clone(told), live)
	for _, t := range targets {
		_, place, _ := strings.Cut(t, ":") // ssl:ADDRESS:PORT
		if ap, err := netip.ParseAddrPort(place); err == nil {
			out = append(out, ap.Addr().Unmap())
		}
	}
	return listed(out)
}

// listed returns the addresses that a report may hold, sorted, each once.
func listed(as []netip.Addr) []netip.Addr {
	as = slices.DeleteFunc(as, func(a netip.Addr) bool { return !hostpb.ValidAddress(a) })
	slices.SortFunc(as, netip.Addr.Compare)
	return slices.Compact(as)
}

// without returns the addresses but one.
func without(as []netip.Addr, one netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(as), func(a netip.Addr) bool { return a == one })
}

// reported returns what the contract has room for, and says what it has not.
func reported(a uplink.Addresses, log *slog.Logger) uplink.Addresses {
	cut := func(list []netip.Addr, message string) []netip.Addr {
		if len(list) <= hostpb.MaxAddresses {
			return list
		}
		log.Warn(message, slog.Int("count", len(list)), slog.Int("max", hostpb.MaxAddresses))
		return list[:hostpb.MaxAddresses]
	}
	a.Own = cut(a.Own, "the host has more addresses than are reserved")
	a.Controllers = cut(a.Controllers, "the controllers have more addresses than are reserved")
	return a
}
