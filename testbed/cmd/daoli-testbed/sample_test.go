package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readTestSample reads an endpoints file over one VPC.
func readTestSample(t *testing.T, endpoints string) (*sample, string, error) {
	t.Helper()
	dir := t.TempDir()
	specs, file := filepath.Join(dir, "specs"), filepath.Join(dir, "ends.yaml")
	for name, text := range map[string]string{
		filepath.Join(specs, "all.yaml"): "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: acme}\nspec: {}\n" +
			"---\napiVersion: daoli.net/v1\nkind: VPC\nmetadata: {name: prod, tenant: acme}\nspec: {subnets: [{name: web, cidr: 10.1.0.0/24}]}\n",
		file: endpoints,
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var errors, warnings bytes.Buffer
	s, err := readSample(&errors, &warnings, file, specs)
	return s, errors.String(), err
}

func TestPlaceTakesTheFilesHostOrTheNextInTurn(t *testing.T) {
	s, problems, err := readTestSample(t, `endpoints:
  - {name: a, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.2}
  - {name: b, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.3, host: 2}
  - {name: c, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.4, groups: [g], labels: {role: x}}
  - {name: d, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.5}
ports: [tcp/80]
`)
	if err != nil {
		t.Fatal(err, problems)
	}
	if err := s.place(2); err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for _, p := range s.places {
		hosts = append(hosts, p.Name+" "+p.Host)
	}
	if d := cmp.Diff([]string{"a h1", "b h2", "c h2", "d h1"}, hosts); d != "" {
		t.Errorf("hosts (-want +got):\n%s", d)
	}
	c := s.places[2]
	if c.VPC != "acme/prod" || c.Subnet != "web" || c.IP != "10.1.0.4" || c.Groups[0] != "g" || c.Labels["role"] != "x" {
		t.Errorf("place of c = %+v; want what the file says", c)
	}
}

func TestPlaceNamesTheLineOfEachHostThatIsNotThere(t *testing.T) {
	s, problems, err := readTestSample(t, `endpoints:
  - {name: a, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.2, host: 3}
  - {name: b, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.3, host: 9}
ports: [tcp/80]
`)
	if err != nil {
		t.Fatal(err, problems)
	}
	err = s.place(2)
	if err == nil || !strings.Contains(err.Error(), "ends.yaml:2: endpoint a: no host 3") || !strings.Contains(err.Error(), "ends.yaml:3: endpoint b: no host 9") {
		t.Errorf("place = %v; want both lines", err)
	}
}

func TestReadSampleSaysAllThatIsWrong(t *testing.T) {
	_, problems, err := readTestSample(t, `endpoints:
  - {name: a, tenant: acme, vpc: prod, subnet: web, ip: 10.9.0.2}
  - {name: b, tenant: acme, vpc: none, subnet: web, ip: 10.1.0.3}
ports: [tcp/80]
`)
	if err == nil || !strings.Contains(problems, "ends.yaml:2: ") || !strings.Contains(problems, "ends.yaml:3: ") {
		t.Errorf("readSample = %v, said %q; want both lines", err, problems)
	}
}

func TestInModuleKnowsTheSourceOfTheProgramsAtAnyDepth(t *testing.T) {
	if here, err := os.Getwd(); err != nil || !inModule(here) {
		t.Errorf("inModule(%s) = false, %v; want true", here, err)
	}
	dir := t.TempDir()
	if inModule(dir) {
		t.Errorf("inModule(%s) = true; want false of an empty directory", dir)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(module+"fork\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if inModule(dir) {
		t.Error("inModule of another module = true; want false")
	}
}
