package endpoint_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/hostd/endpoint"
)

var limits = endpoint.Limits{Endpoints: 100, FirstPort: 16, LastPort: 16383}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func ref(name string) endpoint.Ref { return endpoint.Ref{Tenant: "acme", VPC: "prod", Name: name} }

func request(name string) endpoint.Request {
	return endpoint.Request{Ref: ref(name), Subnet: "web", Namespace: "/run/netns/" + name, Interface: "eth0"}
}

// hidden is an endpoint with an address, whose container is not known.
func hidden(name string, ip int) endpoint.Request {
	r := request(name)
	r.IP, r.MAC, r.Hidden = addr(ip), endpoint.MAC{2, 0, 0, 0, 0, byte(ip)}, true
	return r
}

func addr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}) }

func attach(name string, token uint64) endpoint.Attach {
	return endpoint.Attach{Request: request(name), Token: token, Deadline: start.Add(10 * time.Second)}
}

func leased(id uint64, ip int) endpoint.Leased {
	return endpoint.Leased{ID: id, IP: addr(ip), MAC: endpoint.MAC{2, 0, 0, 0, 0, byte(ip)}}
}

// text writes an effect in a line.
func text(e endpoint.Effect) string {
	names := func(es []endpoint.Endpoint) string {
		var out []string
		for _, e := range es {
			out = append(out, e.Name)
		}
		return strings.Join(out, ",")
	}
	switch e := e.(type) {
	case endpoint.AskLease:
		line := strings.TrimSuffix(fmt.Sprintf("ask %d %s %s %s", e.ID, e.Ref.Name, e.Subnet, e.IP), " invalid IP")
		if e.Held != "" {
			line += " held " + e.Held
		}
		return line
	case endpoint.SendRelease:
		return fmt.Sprintf("release %s %s", e.Ref.Name, e.IP)
	case endpoint.SendHello:
		return "hello " + names(e.Endpoints)
	case endpoint.SendDelta:
		var down []string
		for _, r := range e.Down {
			down = append(down, r.Name)
		}
		return fmt.Sprintf("delta %d up=%s down=%s", e.Seq, names(e.Up), strings.Join(down, ","))
	case endpoint.Plumb:
		return fmt.Sprintf("plumb %s %s %s %s", e.Endpoint.Name, e.Endpoint.Device(), e.Endpoint.IP, e.Endpoint.MAC)
	case endpoint.Unplumb:
		return fmt.Sprintf("unplumb %s %s", e.Endpoint.Name, e.Endpoint.Device())
	case endpoint.Save:
		return fmt.Sprintf("save %s %s", e.Endpoint.Name, e.Endpoint.State)
	case endpoint.Forget:
		return "forget " + e.Ref.Name
	case endpoint.Answer:
		if e.Err != nil {
			return fmt.Sprintf("answer %d: %v", e.Token, e.Err)
		}
		if e.Endpoint.State == "" { // of a hold
			return fmt.Sprintf("answer %d: %s %s %s", e.Token, e.Endpoint.Name, e.Endpoint.IP, e.Endpoint.MAC)
		}
		return fmt.Sprintf("answer %d: %s %s", e.Token, e.Endpoint.Name, e.Endpoint.State)
	}
	return fmt.Sprintf("%#v", e)
}

// step is an event, how long after the start it happens, and its effects.
type step struct {
	after time.Duration
	event endpoint.Event
	want  string // lines
}

// up makes name, which gets the given lease, port and seq, an endpoint that is up.
func up(name string, id uint64, seq uint64) []step {
	ip, port := int(id)+1, 15+id
	return []step{
		{0, attach(name, id), fmt.Sprintf("ask %d %s web", id, name)},
		{0, leased(id, ip), fmt.Sprintf("save %[1]s plumbing\nplumb %[1]s dl%[2]d %[3]s 02:00:00:00:00:%02[4]x", name, port, addr(ip), ip)},
		{0, endpoint.Plumbed{Ref: ref(name)}, fmt.Sprintf("delta %d up=%s down=", seq, name)},
		{0, endpoint.Acked{Seq: seq}, fmt.Sprintf("save %[1]s up\nanswer %[2]d: %[1]s up", name, id)},
	}
}

var connect = step{0, endpoint.StreamUp{}, "hello "}

func TestLife(t *testing.T) {
	tests := []struct {
		name  string
		steps []step
		left  string // endpoints in the end
	}{
		{"attach and detach", slices.Concat([]step{connect}, up("a", 1, 1), []step{
			{0, endpoint.Detach{Ref: ref("a"), Token: 2}, "delta 2 up= down=a\nsave a leaving\nunplumb a dl16"},
			{0, endpoint.Unplumbed{Ref: ref("a")}, "forget a\nrelease a 10.1.0.2\nanswer 2: a leaving"},
		}), ""},
		{"an endpoint takes over the address that was held for it", []step{
			connect,
			{0, endpoint.Hold{Ref: ref("hold-1"), Subnet: "web", Token: 1, Deadline: start.Add(time.Second)}, "ask 1 hold-1 web"},
			{0, leased(1, 2), "answer 1: hold-1 10.1.0.2 02:00:00:00:00:02"},
			{0, endpoint.Attach{
				Request: endpoint.Request{Ref: ref("a"), Subnet: "web", IP: addr(2), Held: "hold-1"}, Token: 2, Deadline: start.Add(time.Second),
			}, "ask 2 a web 10.1.0.2 held hold-1"},
			{0, leased(2, 2), "save a plumbing\nplumb a dl16 10.1.0.2 02:00:00:00:00:02"},
		}, "a plumbing"},
		{"a held address that nobody wants is given back", []step{
			connect,
			{0, endpoint.Unhold{Ref: ref("hold-1"), IP: addr(2)}, "release hold-1 10.1.0.2"},
			{0, endpoint.StreamDown{}, ""},
			{0, endpoint.Unhold{Ref: ref("hold-2"), IP: addr(3)}, ""},
			{0, endpoint.StreamUp{}, "hello \nrelease hold-2 10.1.0.3"},
		}, ""},
		{"a hold waits for a controller, but not for ever", []step{
			{0, endpoint.Hold{Ref: ref("hold-1"), Subnet: "web", Token: 1, Deadline: start.Add(time.Second)}, ""},
			{0, endpoint.StreamUp{}, "hello \nask 1 hold-1 web"},
			{time.Second, endpoint.Tick{}, "answer 1: no address: the controller gave no address in time"},
			{time.Second, leased(1, 2), "release hold-1 10.1.0.2"},
			{time.Second, endpoint.StreamDown{}, ""},
			{time.Second, endpoint.Hold{Ref: ref("hold-2"), Subnet: "web", Token: 2, Deadline: start.Add(2 * time.Second)}, ""},
			{2 * time.Second, endpoint.Tick{}, "answer 2: no address: no controller is connected"},
		}, ""},
		{"a hold is refused", []step{
			connect,
			{0, endpoint.Hold{Ref: ref("hold-1"), Subnet: "web", Token: 1, Deadline: start.Add(time.Second)}, "ask 1 hold-1 web"},
			{0, endpoint.Leased{ID: 1, Err: "full"}, "answer 1: no address: full"},
		}, ""},
		{"a hidden endpoint is reported when it is known whose it is", []step{
			connect,
			{0, endpoint.Attach{Request: hidden("hold-1", 2), Token: 1, Deadline: start.Add(time.Second)},
				"save hold-1 plumbing\nplumb hold-1 dl16 10.1.0.2 02:00:00:00:00:02"},
			{0, endpoint.Plumbed{Ref: ref("hold-1")}, "save hold-1 up\nanswer 1: hold-1 up"},
			{0, endpoint.StreamDown{}, ""},
			{0, endpoint.Identify{Ref: ref("hold-1"), To: request("a"), Token: 2}, "answer 2: endpoint acme/prod/hold-1 keeps its name: no controller is connected"},
			{0, endpoint.StreamUp{}, "hello "},
			{0, endpoint.Identify{Ref: ref("hold-1"), To: request("a"), Token: 3}, "ask 1 a web 10.1.0.2 held hold-1"},
			{0, endpoint.StreamDown{}, ""},
			{0, endpoint.StreamUp{}, "hello \nask 1 a web 10.1.0.2 held hold-1"},
			{0, endpoint.Identify{Ref: ref("hold-1"), To: request("b"), Token: 4}, "answer 4: endpoint acme/prod/hold-1 cannot be renamed now"},
			{0, leased(1, 2), "save a up\nforget hold-1\ndelta 1 up=a down=\nanswer 3: a up"},
		}, "a up"},
		{"another name, reported with the old one's end", slices.Concat([]step{connect}, up("a", 1, 1), up("b", 2, 2), []step{
			{0, endpoint.Identify{Ref: ref("a"), To: request("b"), Token: 3}, "answer 3: endpoint acme/prod/b exists on this host"},
			{0, endpoint.Identify{Ref: ref("x"), To: request("b"), Token: 4}, "answer 4: there is no endpoint acme/prod/x on this host"},
			{0, endpoint.Identify{Ref: ref("a"), To: request("c"), Token: 5}, "ask 3 c web 10.1.0.2 held a"},
			{0, endpoint.Leased{ID: 3, Err: "taken"}, "answer 5: endpoint acme/prod/a is not renamed: taken"},
			{0, endpoint.Identify{Ref: ref("a"), To: request("d"), Token: 6}, "ask 4 d web 10.1.0.2 held a"},
			{0, leased(4, 2), "save d up\nforget a\ndelta 3 up=d down=a\nanswer 6: d up"},
			{0, endpoint.Identify{Ref: ref("d"), To: request("d"), Token: 7}, "save d up\nanswer 7: d up"},
		}), "b up,d up"},
		{"one that ends before it has its other name gives both back", slices.Concat([]step{connect}, up("a", 1, 1), []step{
			{0, endpoint.Identify{Ref: ref("a"), To: request("b"), Token: 2}, "ask 2 b web 10.1.0.2 held a"},
			{0, endpoint.Detach{Ref: ref("a"), Token: 3}, "answer 2: endpoint acme/prod/a ended meanwhile\ndelta 2 up= down=a\nsave a leaving\nunplumb a dl16"},
			{0, leased(2, 2), "release b 10.1.0.2"},
			{0, endpoint.Unplumbed{Ref: ref("a")}, "forget a\nrelease a 10.1.0.2\nanswer 3: a leaving"},
		}), ""},
		{"a wanted address and MAC are asked for and kept", []step{
			connect,
			{0, endpoint.Attach{
				Request: endpoint.Request{Ref: ref("a"), Subnet: "web", IP: addr(9), MAC: endpoint.MAC{2, 9, 9, 9, 9, 9}},
				Token:   1, Deadline: start.Add(time.Second),
			}, "ask 1 a web 10.1.0.9"},
			{0, leased(1, 9), "save a plumbing\nplumb a dl16 10.1.0.9 02:09:09:09:09:09"},
		}, "a plumbing"},
		{"attach waits for a controller", slices.Concat([]step{
			{0, attach("a", 1), ""},
			{0, endpoint.StreamUp{}, "hello \nask 1 a web"},
		}, up("a", 1, 1)[1:]), "a up"},
		{"a lost stream asks again, and the hello reports", []step{
			connect,
			{0, attach("a", 1), "ask 1 a web"},
			{0, endpoint.StreamDown{}, ""},
			{0, endpoint.StreamUp{}, "hello \nask 1 a web"},
			{0, leased(1, 2), "save a plumbing\nplumb a dl16 10.1.0.2 02:00:00:00:00:02"},
			{0, endpoint.StreamDown{}, ""},
			{0, endpoint.Plumbed{Ref: ref("a")}, ""},
			{0, endpoint.StreamUp{}, "hello a"},
			{0, endpoint.Acked{Seq: 0}, "save a up\nanswer 1: a up"},
		}, "a up"},
		{"an ack of a newer report counts for those before it", []step{
			connect,
			{0, attach("a", 1), "ask 1 a web"},
			{0, leased(1, 2), "save a plumbing\nplumb a dl16 10.1.0.2 02:00:00:00:00:02"},
			{0, endpoint.Plumbed{Ref: ref("a")}, "delta 1 up=a down="},
			// Delta 2 is of something else, while the switch was away: once it is back,
			// the controller acknowledges the last it got.
			{0, endpoint.Acked{Seq: 0}, ""},
			{0, endpoint.Acked{Seq: 2}, "save a up\nanswer 1: a up"},
		}, "a up"},
		{"an ack of an older report does not count", []step{
			connect,
			{0, attach("a", 1), "ask 1 a web"},
			{0, leased(1, 2), "save a plumbing\nplumb a dl16 10.1.0.2 02:00:00:00:00:02"},
			{0, endpoint.Acked{Seq: 0}, ""},
			{0, endpoint.Plumbed{Ref: ref("a")}, "delta 1 up=a down="},
			{0, endpoint.Acked{Seq: 0}, ""},
		}, "a reporting"},
		{"no address: nothing to undo", []step{
			connect,
			{0, attach("a", 1), "ask 1 a web"},
			{0, endpoint.Leased{ID: 1, Err: "no such subnet"}, "answer 1: no address for acme/prod/a: no such subnet"},
		}, ""},
		{"plumbing fails", []step{
			connect,
			{0, attach("a", 1), "ask 1 a web"},
			{0, leased(1, 2), "save a plumbing\nplumb a dl16 10.1.0.2 02:00:00:00:00:02"},
			{0, endpoint.Plumbed{Ref: ref("a"), Err: errors.New("no namespace")}, "save a leaving\nunplumb a dl16"},
			{0, endpoint.Unplumbed{Ref: ref("a")}, "forget a\nrelease a 10.1.0.2\nanswer 1: no namespace"},
		}, ""},
		{"controller refuses the endpoint", []step{
			connect,
			{0, attach("a", 1), "ask 1 a web"},
			{0, leased(1, 2), "save a plumbing\nplumb a dl16 10.1.0.2 02:00:00:00:00:02"},
			{0, endpoint.Plumbed{Ref: ref("a")}, "delta 1 up=a down="},
			{0, endpoint.Acked{Seq: 1, Problems: map[endpoint.Ref]string{ref("a"): "not on this host"}}, "delta 2 up= down=a\nsave a leaving\nunplumb a dl16"},
			{0, endpoint.Unplumbed{Ref: ref("a")}, "forget a\nrelease a 10.1.0.2\nanswer 1: controller refused acme/prod/a: not on this host"},
		}, ""},
		{"no controller in time", []step{
			{0, attach("a", 1), ""},
			{10 * time.Second, endpoint.Tick{}, "answer 1: endpoint acme/prod/a: no controller is connected"},
		}, ""},
		{"no address in time: a late one is given back", []step{
			connect,
			{0, attach("a", 1), "ask 1 a web"},
			{10 * time.Second, endpoint.Tick{}, "answer 1: endpoint acme/prod/a: the controller gave no address in time"},
			{11 * time.Second, leased(1, 2), "release a 10.1.0.2"},
		}, ""},
		{"a late address of an endpoint that asked again is its own", []step{
			connect,
			{0, attach("a", 1), "ask 1 a web"},
			{10 * time.Second, endpoint.Tick{}, "answer 1: endpoint acme/prod/a: the controller gave no address in time"},
			{11 * time.Second, endpoint.Attach{Request: request("a"), Token: 2, Deadline: start.Add(20 * time.Second)}, "ask 2 a web"},
			{11 * time.Second, leased(1, 2), ""},
			{11 * time.Second, leased(2, 2), "save a plumbing\nplumb a dl17 10.1.0.2 02:00:00:00:00:02"},
		}, "a plumbing"},
		{"time runs out while plumbing: unplumb waits for its end", []step{
			connect,
			{0, attach("a", 1), "ask 1 a web"},
			{0, leased(1, 2), "save a plumbing\nplumb a dl16 10.1.0.2 02:00:00:00:00:02"},
			{10 * time.Second, endpoint.Tick{}, "save a leaving"},
			{11 * time.Second, endpoint.Plumbed{Ref: ref("a")}, "unplumb a dl16"},
			{11 * time.Second, endpoint.Unplumbed{Ref: ref("a")}, "forget a\nrelease a 10.1.0.2\nanswer 1: endpoint acme/prod/a: the host did not plumb it in time"},
		}, ""},
		{"no ack in time", []step{
			connect,
			{0, attach("a", 1), "ask 1 a web"},
			{0, leased(1, 2), "save a plumbing\nplumb a dl16 10.1.0.2 02:00:00:00:00:02"},
			{0, endpoint.Plumbed{Ref: ref("a")}, "delta 1 up=a down="},
			{10 * time.Second, endpoint.Tick{}, "delta 2 up= down=a\nsave a leaving\nunplumb a dl16"},
			{10 * time.Second, endpoint.Unplumbed{Ref: ref("a")}, "forget a\nrelease a 10.1.0.2\nanswer 1: endpoint acme/prod/a: the controller did not confirm its flows in time"},
		}, ""},
		{"twice the same name", slices.Concat([]step{connect}, up("a", 1, 1), []step{
			{0, attach("a", 2), "answer 2: endpoint acme/prod/a exists on this host (up)"},
		}), "a up"},
		{"detach of nobody", []step{
			{0, endpoint.Detach{Ref: ref("a"), Token: 1}, "answer 1: there is no endpoint acme/prod/a on this host"},
		}, ""},
		{"detach while attaching", []step{
			connect,
			{0, attach("a", 1), "ask 1 a web"},
			{0, leased(1, 2), "save a plumbing\nplumb a dl16 10.1.0.2 02:00:00:00:00:02"},
			{0, endpoint.Detach{Ref: ref("a"), Token: 2}, "save a leaving"},
			{0, endpoint.Plumbed{Ref: ref("a")}, "unplumb a dl16"},
			{0, endpoint.Unplumbed{Ref: ref("a")}, "forget a\nrelease a 10.1.0.2\nanswer 1: endpoint acme/prod/a was detached meanwhile\nanswer 2: a leaving"},
		}, ""},
		{"detach twice", slices.Concat([]step{connect}, up("a", 1, 1), []step{
			{0, endpoint.Detach{Ref: ref("a"), Token: 2}, "delta 2 up= down=a\nsave a leaving\nunplumb a dl16"},
			{0, endpoint.Detach{Ref: ref("a"), Token: 3}, ""},
			{0, endpoint.Unplumbed{Ref: ref("a")}, "forget a\nrelease a 10.1.0.2\nanswer 2: a leaving\nanswer 3: a leaving"},
		}), ""},
		{"unplumb is tried again", slices.Concat([]step{connect}, up("a", 1, 1), []step{
			{0, endpoint.Detach{Ref: ref("a"), Token: 2}, "delta 2 up= down=a\nsave a leaving\nunplumb a dl16"},
			{0, endpoint.Unplumbed{Ref: ref("a"), Err: errors.New("busy")}, "answer 2: endpoint acme/prod/a is not gone yet: busy"},
			{time.Second, endpoint.Tick{}, ""},
			{2 * time.Second, endpoint.Tick{}, "unplumb a dl16"},
			{2 * time.Second, endpoint.Tick{}, ""},
			{2 * time.Second, endpoint.Unplumbed{Ref: ref("a")}, "forget a\nrelease a 10.1.0.2"},
		}), ""},
		{"detach without a controller: the address is given back later, before a new one is asked for", slices.Concat([]step{connect}, up("a", 1, 1), []step{
			{0, endpoint.StreamDown{}, ""},
			{0, endpoint.Detach{Ref: ref("a"), Token: 2}, "save a leaving\nunplumb a dl16"},
			{0, endpoint.Unplumbed{Ref: ref("a")}, "forget a\nanswer 2: a leaving"},
			{0, attach("a", 3), ""},
			{0, endpoint.StreamUp{}, "hello \nrelease a 10.1.0.2\nask 2 a web"},
		}), "a leasing"},
		{"the device vanishes", slices.Concat([]step{connect}, up("a", 1, 1), []step{
			{0, endpoint.DeviceGone{Device: "dl17"}, ""},
			{0, endpoint.DeviceGone{Device: "dl16"}, "delta 2 up= down=a\nsave a leaving\nunplumb a dl16"},
			{0, endpoint.DeviceGone{Device: "dl16"}, ""},
			{0, endpoint.Unplumbed{Ref: ref("a")}, "forget a\nrelease a 10.1.0.2"},
		}), ""},
		{"numbers are not used again soon", slices.Concat([]step{connect}, up("a", 1, 1), []step{
			{0, endpoint.Detach{Ref: ref("a"), Token: 2}, "delta 2 up= down=a\nsave a leaving\nunplumb a dl16"},
			{0, endpoint.Unplumbed{Ref: ref("a")}, "forget a\nrelease a 10.1.0.2\nanswer 2: a leaving"},
		}, up("b", 2, 3)), "b up"},
		{"answers to nobody's question", []step{
			connect,
			{0, leased(7, 2), ""},
			{0, endpoint.Plumbed{Ref: ref("a")}, ""},
			{0, endpoint.Unplumbed{Ref: ref("a")}, ""},
			{0, endpoint.Acked{Seq: 3}, ""},
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := endpoint.New(limits, nil, 0)
			for i, s := range tt.steps {
				var got []string
				for _, e := range m.Step(start.Add(s.after), s.event) {
					got = append(got, text(e))
				}
				if diff := cmp.Diff(s.want, strings.Join(got, "\n")); diff != "" {
					t.Fatalf("step %d, %#v (-want +got):\n%s", i, s.event, diff)
				}
			}
			var left []string
			for _, e := range m.Endpoints() {
				left = append(left, e.Name+" "+string(e.State))
			}
			if got := strings.Join(left, ","); got != tt.left {
				t.Errorf("endpoints are %q; want %q", got, tt.left)
			}
		})
	}
}

func TestProblemOfEndpointThatIsUpComesAndGoes(t *testing.T) {
	m := endpoint.New(limits, []endpoint.Endpoint{{Request: endpoint.Request{Ref: ref("a"), IP: addr(2)}, Port: 16, State: endpoint.Up}}, 17)
	m.Step(start, endpoint.StreamUp{})
	for _, tt := range []struct {
		ack  endpoint.Acked
		want string
	}{
		{endpoint.Acked{Seq: 0, Problems: map[endpoint.Ref]string{ref("a"): "no such vpc"}}, "no such vpc"},
		{endpoint.Acked{Seq: 1}, "no such vpc"},
		{endpoint.Acked{Seq: 2, Problems: map[endpoint.Ref]string{ref("a"): "other"}}, "other"},
		{endpoint.Acked{Seq: 0}, ""},
	} {
		m.Step(start, tt.ack)
		if got := m.Endpoints()[0]; got.Problem != tt.want || got.State != endpoint.Up {
			t.Errorf("after %+v: %s, %q; want up, %q", tt.ack, got.State, got.Problem, tt.want)
		}
	}
}

func TestRestartKeepsWhatIsUpAndUndoesTheRest(t *testing.T) {
	saved := func(name string, port uint32, s endpoint.State) endpoint.Endpoint {
		return endpoint.Endpoint{Request: endpoint.Request{Ref: ref(name), IP: addr(int(port))}, Port: port, State: s}
	}
	m := endpoint.New(limits, []endpoint.Endpoint{
		saved("a", 16, endpoint.Up), saved("b", 17, endpoint.Plumbing), saved("c", 18, endpoint.Leaving),
	}, 19)
	var got []string
	for _, ev := range []endpoint.Event{endpoint.Tick{}, endpoint.StreamUp{}, endpoint.Unplumbed{Ref: ref("b")}} {
		for _, e := range m.Step(start, ev) {
			got = append(got, text(e))
		}
	}
	want := []string{"save b leaving", "unplumb b dl17", "unplumb c dl18", "hello a", "forget b", "release b 10.1.0.17"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if m.NextPort() != 19 {
		t.Errorf("NextPort = %d; want 19", m.NextPort())
	}
}

func TestPortsWrapAndSkipThoseInUse(t *testing.T) {
	m := endpoint.New(limits, []endpoint.Endpoint{
		{Request: request("a"), Port: limits.LastPort, State: endpoint.Up},
		{Request: request("b"), Port: limits.FirstPort, State: endpoint.Up},
	}, limits.LastPort)
	m.Step(start, attach("c", 1))
	for _, e := range m.Endpoints() {
		if e.Name == "c" && e.Port != limits.FirstPort+1 {
			t.Errorf("port is %d; want %d", e.Port, limits.FirstPort+1)
		}
	}
}

func TestHostIsFull(t *testing.T) {
	refused := func(m *endpoint.Machine, a endpoint.Attach) bool {
		for _, e := range m.Step(start, a) {
			var err *endpoint.Error
			if a, ok := e.(endpoint.Answer); ok && errors.As(a.Err, &err) && err.Kind == endpoint.Conflict {
				return true
			}
		}
		return false
	}
	var many []endpoint.Endpoint
	for i := range limits.Endpoints {
		many = append(many, endpoint.Endpoint{Request: request(fmt.Sprintf("e%d", i)), Port: limits.FirstPort + uint32(i), State: endpoint.Up})
	}
	if !refused(endpoint.New(limits, many, 0), attach("one-more", 1)) {
		t.Error("one endpoint more than a report may have was taken")
	}
	big := request("big")
	big.Labels = map[string]string{"k": strings.Repeat("v", 4<<20)}
	if !refused(endpoint.New(limits, nil, 0), endpoint.Attach{Request: big, Token: 1, Deadline: start.Add(time.Second)}) {
		t.Error("an endpoint too large for a report was taken")
	}
}

func TestDeadlineIsTheNextThingThatTimeBrings(t *testing.T) {
	m := endpoint.New(limits, nil, 0)
	if !m.Deadline().IsZero() {
		t.Error("an empty machine has a deadline")
	}
	m.Step(start, endpoint.Attach{Request: request("a"), Token: 1, Deadline: start.Add(9 * time.Second)})
	m.Step(start, endpoint.Attach{Request: request("b"), Token: 2, Deadline: start.Add(5 * time.Second)})
	if got := m.Deadline(); !got.Equal(start.Add(5 * time.Second)) {
		t.Errorf("Deadline = %s", got)
	}
}

// TestRandomLives drives the machine with random requests, answers, losses and
// failures, and checks what must hold in any order of events.
func TestRandomLives(t *testing.T) {
	for seed := range uint64(300) {
		w := &world{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)), m: endpoint.New(limits, nil, 0), now: start,
			asked: map[uint64]bool{}, plumbing: map[endpoint.Ref]string{}, held: map[endpoint.Ref]bool{}, holds: map[endpoint.Ref]netip.Addr{}, saved: map[endpoint.Ref]bool{}}
		for range 200 {
			w.random()
		}
		w.settle()
		if t.Failed() {
			return
		}
	}
}

// world plays everything around a machine.
type world struct {
	t        *testing.T
	seed     uint64
	rnd      *rand.Rand
	m        *endpoint.Machine
	now      time.Time
	token    uint64
	asked    map[uint64]bool             // tokens not answered
	plumbing map[endpoint.Ref]string     // running plumb or unplumb
	leases   []endpoint.AskLease         // not answered
	acks     []endpoint.Acked            // not delivered
	held     map[endpoint.Ref]bool       // leased at the controller
	holds    map[endpoint.Ref]netip.Addr // answered, and not used yet
	saved    map[endpoint.Ref]bool       // on disk
	streamed bool
}

func (w *world) fail(format string, args ...any) {
	w.t.Errorf("seed %d: %s", w.seed, fmt.Sprintf(format, args...))
}

func (w *world) step(ev endpoint.Event) {
	for _, e := range w.m.Step(w.now, ev) {
		w.perform(e)
	}
	ports := map[uint32]bool{}
	for _, e := range w.m.Endpoints() {
		if ports[e.Port] || e.Port < limits.FirstPort {
			w.fail("port %d twice or too low", e.Port)
		}
		ports[e.Port] = true
	}
}

func (w *world) perform(e endpoint.Effect) {
	switch e := e.(type) {
	case endpoint.AskLease:
		w.leases = append(w.leases, e)
	case endpoint.SendRelease:
		delete(w.held, e.Ref)
	case endpoint.SendHello:
		w.acks = append(w.acks, endpoint.Acked{Seq: 0})
	case endpoint.SendDelta:
		w.acks = append(w.acks, endpoint.Acked{Seq: e.Seq})
	case endpoint.Plumb:
		w.begin(e.Endpoint, "plumb")
	case endpoint.Unplumb:
		w.begin(e.Endpoint, "unplumb")
	case endpoint.Save:
		w.saved[e.Endpoint.Ref] = true
	case endpoint.Forget:
		delete(w.saved, e.Ref)
	case endpoint.Answer:
		if e.Err == nil && e.Endpoint.State == "" {
			w.holds[e.Endpoint.Ref] = e.Endpoint.IP
		}
		if !w.asked[e.Token] {
			w.fail("token %d is answered twice", e.Token)
		}
		delete(w.asked, e.Token)
	}
}

func (w *world) begin(e endpoint.Endpoint, what string) {
	if was := w.plumbing[e.Ref]; was != "" {
		w.fail("%s of %s while %s runs", what, e.Ref, was)
	}
	if !w.saved[e.Ref] {
		w.fail("%s of %s, which is not saved", what, e.Ref)
	}
	w.plumbing[e.Ref] = what
}

func (w *world) random() {
	w.now = w.now.Add(time.Duration(w.rnd.IntN(400)) * time.Millisecond)
	name := string(rune('a' + w.rnd.IntN(4)))
	switch w.rnd.IntN(13) {
	case 10:
		w.token++
		w.asked[w.token] = true
		w.step(endpoint.Hold{Ref: ref("hold-" + name), Subnet: "web", Token: w.token, Deadline: w.now.Add(3 * time.Second)})
	case 11:
		w.useHold(ref("hold-"+name), name)
	case 12:
		w.token++
		w.asked[w.token] = true
		from := name
		if w.rnd.IntN(2) == 0 {
			from = "hold-" + name
		}
		w.step(endpoint.Identify{Ref: ref(from), To: request(string(rune('a' + w.rnd.IntN(4)))), Token: w.token})
	case 0, 1:
		w.token++
		w.asked[w.token] = true
		w.step(endpoint.Attach{Request: request(name), Token: w.token, Deadline: w.now.Add(3 * time.Second)})
	case 2:
		w.token++
		w.asked[w.token] = true
		w.step(endpoint.Detach{Ref: ref(name), Token: w.token})
	case 3:
		w.flip()
	case 4:
		w.step(endpoint.Tick{})
	case 5:
		w.step(endpoint.DeviceGone{Device: fmt.Sprintf("dl%d", 16+w.rnd.IntN(40))})
	default:
		w.answer(w.rnd.IntN(4) == 0)
	}
}

// useHold has an endpoint take a held address over, hidden or not, or gives it back.
func (w *world) useHold(hold endpoint.Ref, name string) {
	ip, held := w.holds[hold]
	delete(w.holds, hold)
	r := request(name)
	r.IP, r.Held, r.MAC = ip, hold.Name, endpoint.MAC{2, 0, 0, 0, 0, 9}
	switch {
	case !held:
		return
	case w.rnd.IntN(3) == 0:
		w.step(endpoint.Unhold{Ref: hold, IP: ip})
		return
	case w.rnd.IntN(2) == 0:
		r.Ref, r.Held, r.Hidden = hold, "", true
	}
	w.token++
	w.asked[w.token] = true
	w.step(endpoint.Attach{Request: r, Token: w.token, Deadline: w.now.Add(3 * time.Second)})
}

// flip loses the stream with all that was under way on it, or makes a new one.
func (w *world) flip() {
	w.streamed = !w.streamed
	if w.streamed {
		w.step(endpoint.StreamUp{})
		return
	}
	w.leases, w.acks = nil, nil
	w.step(endpoint.StreamDown{})
}

// answer ends one thing that is under way, well or badly.
func (w *world) answer(badly bool) {
	for r, what := range w.plumbing {
		delete(w.plumbing, r)
		var err error
		if badly {
			err = errors.New("bad luck")
		}
		if what == "plumb" {
			w.step(endpoint.Plumbed{Ref: r, Err: err})
		} else {
			w.step(endpoint.Unplumbed{Ref: r, Err: err})
		}
		return
	}
	switch {
	case len(w.leases) > 0:
		l := w.leases[0]
		w.leases = w.leases[1:]
		if badly {
			w.step(endpoint.Leased{ID: l.ID, Err: "no"})
			return
		}
		w.held[l.Ref] = true
		if l.Held != "" {
			delete(w.held, ref(l.Held))
			w.step(endpoint.Leased{ID: l.ID, IP: l.IP, MAC: endpoint.MAC{2, 0, 0, 0, 0, 9}})
			return
		}
		w.step(leased(l.ID, int(l.ID)))
	case len(w.acks) > 0:
		a := w.acks[0]
		w.acks = w.acks[1:]
		if badly {
			a.Problems = map[endpoint.Ref]string{ref("a"): "no", ref("b"): "no"}
		}
		w.step(a)
	}
}

// settle detaches everything and lets all end well.
func (w *world) settle() {
	if !w.streamed {
		w.flip()
	}
	for _, e := range w.m.Endpoints() {
		w.token++
		w.asked[w.token] = true
		w.step(endpoint.Detach{Ref: e.Ref, Token: w.token})
	}
	for range 100 {
		w.now = w.now.Add(time.Second)
		w.answer(false)
		w.step(endpoint.Tick{})
	}
	if n := len(w.m.Endpoints()); n != 0 {
		w.fail("%d endpoints are left: %+v", n, w.m.Endpoints())
	}
	if len(w.asked) != 0 {
		w.fail("%d requests were never answered", len(w.asked))
	}
	if len(w.saved) != 0 {
		w.fail("%v are left on disk", w.saved)
	}
}
