package api_test

import (
	"testing"

	"github.com/daolinet/daolinet/reconciler/api"
)

func TestParseTarget(t *testing.T) {
	tests := []struct {
		in   string
		want api.Pair
	}{
		{"db1:5432", api.Pair{To: "db1", Proto: "tcp", Port: 5432}},
		{"db1:5432/tcp", api.Pair{To: "db1", Proto: "tcp", Port: 5432}},
		{"acme/prod/db1:53/udp", api.Pair{To: "acme/prod/db1", Proto: "udp", Port: 53}},
		{"acme/prod/10.1.0.2:udp/53", api.Pair{To: "acme/prod/10.1.0.2", Proto: "udp", Port: 53}},
		{"db1:icmp", api.Pair{To: "db1", Proto: "icmp", Port: 8}},
		{"db1:icmp/echo", api.Pair{To: "db1", Proto: "icmp", Port: 8}},
		{"db1:icmp/0", api.Pair{To: "db1", Proto: "icmp", Port: 0}},
		{"db1:8/icmp", api.Pair{To: "db1", Proto: "icmp", Port: 8}},
	}
	for _, tt := range tests {
		got, err := api.ParseTarget(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("ParseTarget(%q) = %+v, %v; want %+v", tt.in, got, err, tt.want)
		}
		again, err := api.ParseTarget(got.Target())
		if err != nil || again != got {
			t.Errorf("ParseTarget(%q) = %+v, %v; want %+v again", got.Target(), again, err, got)
		}
	}
	for _, in := range []string{"", "db1", ":443", "db1:", "db1:x", "db1:0", "db1:65536", "db1:443/gre", "db1:icmp/256", "db1:tcp", "db1:tcp/", "db1:-1", "db1:1/2/3"} {
		if got, err := api.ParseTarget(in); err == nil {
			t.Errorf("ParseTarget(%q) = %+v; want it refused", in, got)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{"db1:5432", "a/b/c:53/udp", "db1:icmp/echo", ":", "::/", "x:icmp/-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		q, err := api.ParseTarget(in)
		if err != nil {
			return
		}
		if again, err := api.ParseTarget(q.Target()); err != nil || again != q {
			t.Errorf("ParseTarget(%q) = %+v, %v; want %+v as from %q", q.Target(), again, err, q, in)
		}
	})
}
