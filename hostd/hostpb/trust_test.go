package hostpb_test

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/hostd/hostpb"
)

func TestPinsAreChecked(t *testing.T) {
	good := "sha256:" + strings.Repeat("0f", 32)
	if err := hostpb.CheckPin(good); err != nil {
		t.Errorf("CheckPin = %v", err)
	}
	if got := hostpb.Pin(&x509.Certificate{RawSubjectPublicKeyInfo: []byte("x")}); hostpb.CheckPin(got) != nil {
		t.Errorf("Pin = %q, which is none", got)
	}
	for _, bad := range []string{"", "sha256:", good[7:], good[:len(good)-1], good + "00", strings.ToUpper(good), "sha1:" + good[7:], good[:len(good)-2] + "zz"} {
		if hostpb.CheckPin(bad) == nil {
			t.Errorf("CheckPin(%q) takes it", bad)
		}
	}
}

func TestMembersAreNamedInOneWay(t *testing.T) {
	parse := func(names ...string) (string, error) {
		c := &x509.Certificate{}
		for _, n := range names {
			u, err := url.Parse(n)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = append(c.URIs, u)
		}
		cluster, kind, name, err := hostpb.Member(c)
		return cluster + " " + kind + " " + name, err
	}
	if got, err := parse(hostpb.MemberURI("abc", hostpb.KindHost, "h1.rack-2").String()); err != nil || got != "abc host h1.rack-2" {
		t.Errorf("Member = %q, %v", got, err)
	}
	for _, bad := range [][]string{
		nil, {"spiffe://abc/host/h1", "spiffe://abc/host/h2"}, {"https://abc/host/h1"}, {"spiffe:///host/h1"}, {"spiffe://abc/host"},
		{"spiffe://abc/host/"}, {"spiffe://abc/host/H1"}, {"spiffe://abc/host/h1/x"}, {"spiffe://abc/host/h1?x"}, {"spiffe://abc/host/h1#x"},
		{"spiffe://u@abc/host/h1"}, {"spiffe://abc//host/h1"},
	} {
		if got, err := parse(bad...); err == nil {
			t.Errorf("Member of %v = %q; want an error", bad, got)
		}
	}
}
