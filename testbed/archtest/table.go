package archtest

// Rule is what one package may do.
type Rule struct {
	// May lists the packages of this module that it may import, "a/..." for
	// all at or below a. Programs (cmd) are never imported, whatever it says.
	May []string
	// Core packages are a function of their arguments: see coreStd, coreTime.
	Core bool
	// Std lists packages of the standard library that are forbidden in the core
	// and allowed here.
	Std []string
	// Modules lists what a core package may import from other modules. A shell's
	// choice is free.
	Modules []string
	// Why is the reason, shown to whoever breaks the rule.
	Why string
}

// Table is the import table of DaoliNet: nothing points up, and no cycles.
//
//	DATA     specs (git) ────► spec ────► inventory ──┐
//	         policies (git) ──► policy ───────────────┼──► admission ──► session ──► flows ──► openflow ──► switch
//	         PacketIn ────────► packet ───────────────┘
//
// The upper half is core, the lower half shell.
var Table = map[string]Rule{
	"reconciler/packet": {
		Core: true,
		Why:  "headers are bytes; who sent them is somebody else's question",
	},
	"reconciler/openflow": {
		Core: true, Std: []string{"net"}, Modules: []string{"github.com/contiv/libOpenflow"},
		Why: "flows are values that simnet, goldens and switches share; libOpenflow speaks net's addresses",
	},
	"reconciler/spec": {
		Core: true, Modules: []string{"gopkg.in/yaml.v3"},
		Why: "desired state is what is written, whatever hosts exist",
	},
	"reconciler/inventory": {
		May: []string{"reconciler/packet", "reconciler/spec"}, Core: true,
		Why: "a snapshot joins what is written (spec) with what is seen; packet for its MAC",
	},
	"reconciler/policy": {
		May: []string{"reconciler/inventory", "reconciler/spec", "reconciler/packet", "policies"}, Core: true,
		Modules: []string{"github.com/open-policy-agent/opa"},
		Why:     "policy sees identities and rules, never sessions or switches; the shipped Rego is data",
	},
	"reconciler/hook": {
		May: []string{"reconciler/policy", "reconciler/spec"}, Core: true,
		Modules: []string{"github.com/open-policy-agent/opa"},
		Why:     "what a tenant's Rego says is a function of its text and the query; who may be asked, and where, is others' matter",
	},
	"reconciler/admission": {
		May:  []string{"reconciler/policy", "reconciler/inventory", "reconciler/spec", "reconciler/packet"},
		Core: true,
		Why:  "a decision is a function of headers, inventory and revision",
	},
	"reconciler/session": {
		May:  []string{"reconciler/admission", "reconciler/policy", "reconciler/inventory", "reconciler/spec", "reconciler/packet"},
		Core: true,
		Why:  "a session is an admitted decision and its path; how switches carry it is flows' matter",
	},
	"reconciler/pipeline": {
		May: []string{"reconciler/openflow"}, Core: true,
		Why: "hostd imports it too: whatever it imported would become part of every host",
	},
	"reconciler/flows": {
		May: []string{"reconciler/session", "reconciler/admission", "reconciler/policy", "reconciler/inventory",
			"reconciler/spec", "reconciler/packet", "reconciler/pipeline", "reconciler/openflow"},
		Core: true,
		Why:  "flows are a pure function of a session's path",
	},
	"reconciler/matrix": {
		May:  []string{"reconciler/admission", "reconciler/policy", "reconciler/inventory", "reconciler/spec", "reconciler/packet"},
		Core: true, Modules: []string{"gopkg.in/yaml.v3"},
		Why: "what a revision means is asked of admission, offline; yaml.v3 writes one of its formats",
	},
	"reconciler/plan": {
		May:  []string{"reconciler/policy", "reconciler/inventory", "reconciler/spec"},
		Core: true, Modules: []string{"gopkg.in/yaml.v3"},
		Why: "what changes is a function of two revisions and of who is there; yaml.v3 writes one of its formats",
	},
	"reconciler/names": {
		May: []string{"reconciler/inventory", "reconciler/spec"}, Core: true,
		Why: "what a name means is a function of who asks and of what is there",
	},
	"reconciler/ipam": {
		May: []string{"reconciler/spec"}, Core: true,
		Why: "an address is a function of pool, leases and request",
	},
	"reconciler/engine": {
		May: []string{"reconciler/flows", "reconciler/session", "reconciler/admission", "reconciler/policy", "reconciler/inventory",
			"reconciler/spec", "reconciler/packet", "reconciler/pipeline", "reconciler/openflow", "reconciler/ipam"},
		Core: true,
		Why:  "the controller's own decisions run in simnet and under virtual time only if they do no I/O",
	},

	"reconciler/trust": {
		May: []string{"hostd/hostpb"},
		Why: "who is trusted is a function of state, time and what was shown; of hostpb it takes what names are and how they stand in certificates",
	},
	"reconciler/enrol": {
		May: []string{"reconciler/private", "reconciler/trust", "hostd/hostpb"},
		Why: "it keeps trust in files and stands before the ports; what hosts say once they are trusted is not its matter",
	},
	"reconciler/ofswitch": {
		May: []string{"reconciler/openflow"},
		Why: "a connection moves messages; what they mean is decided above it",
	},
	"reconciler/confine": {
		Why: "limits of child processes; it knows nothing of what they do",
	},
	"reconciler/sandbox": {
		May: []string{"reconciler/hook", "reconciler/policy", "reconciler/spec", "reconciler/confine"},
		Why: "children that run tenants' Rego, and whom to kill; what Rego says is hook's matter",
	},
	"reconciler/gitrepo": {
		May: []string{"reconciler/spec", "reconciler/confine"},
		Why: "it runs in a process of its own, and ends at an archive; of spec it knows the limits",
	},
	"reconciler/gitsource": {
		May: []string{"reconciler/spec", "reconciler/gitrepo", "reconciler/confine"},
		Why: "it ends at an fs.FS; of spec it knows the limits, so that it reads no more than is loaded",
	},
	"reconciler/revisions": {
		May: []string{"reconciler/private", "reconciler/spec", "reconciler/gitrepo", "reconciler/gitsource"},
		Why: "it keeps revisions as files; what they mean is others' matter",
	},
	"reconciler/private": {
		Why: "files and sockets of both daemons; it knows nothing of what is in them",
	},
	"reconciler/hostlink": {
		May: []string{"hostd/hostpb", "reconciler/inventory", "reconciler/spec", "reconciler/packet"},
		Why: "it turns hosts' messages into inventory's reports and nothing else",
	},
	"reconciler/api": {
		May: []string{"reconciler/private"},
		Why: "daolictl links it: it must bring neither controller nor OPA along",
	},
	"reconciler/decisionlog": {
		May: []string{"reconciler/inventory", "reconciler/packet", "reconciler/policy", "reconciler/spec"},
		Why: "it writes what others decided, and can't decide",
	},
	"reconciler/replay": {
		May: []string{"reconciler/admission", "reconciler/decisionlog", "reconciler/inventory", "reconciler/packet", "reconciler/policy"},
		Why: "it asks admission's questions about what decisionlog wrote, offline",
	},
	"reconciler/controller": {
		May: []string{"reconciler/...", "hostd/hostpb"},
		Why: "the loop where core and shell meet",
	},
	"reconciler/cmd/daoli-reconcile": {
		May: []string{"reconciler/...", "hostd/hostpb", "policies", "specs"},
		Why: "flags and wiring",
	},
	"reconciler/cmd/daolictl": {
		May: []string{"reconciler/api"},
		Why: "it knows the controller only over its socket",
	},

	"hostd/hostpb": {
		Why: "the contract between host and controller depends on neither",
	},
	"hostd/endpoint": {
		May: []string{"reconciler/packet"}, Core: true,
		Why: "what to plumb and report is a function of requests and events",
	},
	"hostd/nic": {
		May: []string{"hostd/endpoint", "reconciler/packet"},
		Why: "it makes interfaces for endpoints",
	},
	"hostd/bridge": {
		May: []string{"hostd/endpoint", "reconciler/pipeline", "reconciler/openflow", "reconciler/packet"},
		Why: "it puts the pipeline's base flows on the host's bridge",
	},
	"hostd/uplink": {
		May: []string{"hostd/hostpb", "hostd/endpoint", "reconciler/packet"},
		Why: "it speaks the contract with the controller",
	},
	"hostd/identity": {
		May: []string{"reconciler/private", "hostd/hostpb"},
		Why: "a host's key and certificate depend on the contract and on nothing that uses them",
	},
	"hostd/doctor": {
		May: []string{"hostd/agent", "hostd/bridge", "hostd/endpoint", "hostd/identity", "hostd/nic"},
		Why: "it asks the agent from outside, as everybody does, and looks at the host itself",
	},
	"hostd/systemd": {
		Why: "sockets and readiness concern the process, whatever it serves",
	},
	"hostd/docker/plugin": {
		Why: "Docker's protocol and no more: what it means is its driver's matter",
	},
	"hostd/docker": {
		May: []string{"reconciler/private", "hostd/docker/plugin", "hostd/systemd", "hostd/hostpb", "hostd/endpoint", "hostd/uplink"},
		Why: "it turns Docker's words into endpoints, by whatever Host it is given",
	},
	"hostd/names": {
		May: []string{"hostd/hostpb"},
		Why: "it answers whoever asks from a port's alias; what the port is, and what a name means, it is told",
	},
	"hostd/preflight": {
		Why: "what speaks against joining is a matter of the host, not of what joins",
	},
	"hostd/agent": {
		May: []string{"reconciler/private", "hostd/...", "reconciler/pipeline", "reconciler/openflow", "reconciler/packet"},
		Why: "the loop of a host; beyond the pipeline and plain leaves the controller's packages stay on the controller",
	},
	"hostd/internal/lab": {
		Why: "namespaces and switches for tests of hostd's packages, whichever they are",
	},
	"hostd/cmd/daoli-hostd": {
		May: []string{"hostd/..."},
		Why: "flags and wiring",
	},

	"testbed/archtest": {
		Why: "it judges the others",
	},
	"testbed/simnet": {
		May: []string{"reconciler/openflow", "reconciler/pipeline", "reconciler/packet"},
		Why: "an interpreter of flow tables that knew sessions would prove nothing about flows",
	},
	"testbed/world": {
		May: []string{"reconciler/policy", "reconciler/inventory", "reconciler/spec", "reconciler/packet"},
		Why: "values for unit tests of the core, built from nothing above them",
	},
	"testbed/netns": {
		May: []string{"testbed/netns/...", "reconciler/api"},
		Why: "machines, wires and programs on them, known only by their command lines and sockets",
	},
	"testbed/netns/inside": {
		Why: "helpers that run inside a namespace",
	},
	"testbed/probe": {
		May: []string{"testbed/netns/inside", "reconciler/spec"},
		Why: "it measures by packets alone; spec is the endpoints file, never what anybody decided",
	},
	"testbed/flood": {
		May: []string{"testbed/netns/inside"},
		Why: "it makes frames, for tests and benchmarks alike; what becomes of them is theirs to say",
	},
	"testbed/organisation": {
		Why: "it writes YAML; a generator that knew what that means would make what is easy",
	},
	"testbed/soak": {
		May: []string{"testbed/netns/...", "testbed/probe", "testbed/organisation", "reconciler/api", "reconciler/spec", "reconciler/pipeline"},
		Why: "it lives with real programs, asks matrix as a user would, and looks at the switches' own words",
	},
	"testbed/conformance": {
		May: []string{"reconciler/..."},
		Why: "it asks the loader, the policy and matrix what the specification asks of them",
	},
	"testbed/scenario": {
		May: []string{"reconciler/...", "hostd/...", "testbed/simnet", "testbed/netns/...", "policies", "specs"},
		Why: "it drives the whole through simnet and through real switches",
	},
	"testbed/simulate": {
		May: []string{"reconciler/...", "hostd/endpoint", "testbed/simnet"},
		Why: "the cores and switches with all that can go wrong between them; what is I/O in either has no place in it",
	},
	"testbed/e2e": {
		May: []string{"testbed/netns/...", "testbed/probe", "testbed/flood", "testbed/organisation", "reconciler/api"},
		Why: "it judges the programs from outside, by packets and by what they say of themselves",
	},
	"testbed/bench": {
		May: []string{"reconciler/...", "hostd/hostpb", "hostd/identity", "policies", "testbed/netns/...", "testbed/flood", "testbed/bench/..."},
		Why: "it measures the core by its packages, and the programs over their sockets",
	},
	"testbed/bench/tenants": {
		Why: "files of a big organisation, for the measurements of any package",
	},
	"testbed/cmd/daoli-bench": {
		May: []string{"testbed/bench"},
		Why: "flags and wiring",
	},
	"testbed/cmd/daoli-testbed": {
		May: []string{"testbed/...", "reconciler/api", "reconciler/spec", "reconciler/gitsource"},
		Why: "it brings up real programs, and asks them as a user would",
	},
	"testbed/cmd/daoli-simulate": {
		May: []string{"testbed/simulate"},
		Why: "flags and text around it",
	},
	"testbed/cmd/daoli-demo": {
		May: []string{"testbed/...", "reconciler/api"},
		Why: "it shows real programs, and asks them as a user would",
	},

	"policies": {Why: "data, and its embedding"},
	"specs":    {Why: "data, and its embedding"},
	"examples": {Why: "data, and the test that loads it"},
}

// TopLevel lists the names allowed beside dot files. bin holds what make built.
var TopLevel = []string{"reconciler", "policies", "specs", "examples", "hostd", "testbed",
	"go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "bin"}

// coreStd is what the core may not import from the standard library, at or
// below each path, with the reason.
var coreStd = map[string]string{
	"os":          "the core does no I/O; take what was read as an argument",
	"syscall":     "the core does no I/O",
	"net":         "the core opens no sockets; net/netip has the addresses",
	"log":         "the core returns what happened, the shell logs it",
	"math/rand":   "same input, same output; take randomness as an argument",
	"crypto/rand": "same input, same output; take randomness as an argument",
}

// coreStdAllowed lists exceptions to coreStd for all of the core.
var coreStdAllowed = []string{"net/netip", "net/url"}

// coreTime is what the core may not use of package time.
var coreTime = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
