package agent

import (
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/hostd/endpoint"
	dns "github.com/daolinet/daolinet/hostd/names"
)

// What the local API speaks, as JSON. Requests with fields that it doesn't know
// are refused.
type (
	// AttachRequest asks for an endpoint: POST /v1/attach.
	AttachRequest struct {
		VPC       string            `json:"vpc"` // TENANT/NAME
		Subnet    string            `json:"subnet"`
		Name      string            `json:"name"`
		Netns     string            `json:"netns"`               // absolute path, or a name that ip netns knows
		Interface string            `json:"interface,omitempty"` // in the namespace; empty: eth0
		IP        netip.Addr        `json:"ip,omitzero"`         // absent: any
		MAC       endpoint.MAC      `json:"mac,omitzero"`        // absent: made of VPC and IP
		Groups    []string          `json:"groups,omitempty"`
		Labels    map[string]string `json:"labels,omitempty"`
	}
	// DetachRequest asks for an endpoint's end: POST /v1/detach.
	DetachRequest struct {
		VPC  string `json:"vpc,omitempty"` // empty: the one that has Name
		Name string `json:"name"`
	}
	// LeaveRequest asks the host to leave: POST /v1/leave.
	LeaveRequest struct {
		Force bool `json:"force,omitempty"` // detach what is attached
	}
	// LeaveAnswer says what leaving could not do beyond the host itself.
	LeaveAnswer struct {
		Host   string `json:"host,omitempty"`   // its name in the cluster
		Untold string `json:"untold,omitempty"` // why no controller knows that it is gone; empty: one does
		Docker string `json:"docker,omitempty"` // what Docker still has of DaoliNet; empty: nothing
	}
	// Endpoint is one endpoint: the answer to attach and detach.
	Endpoint struct {
		VPC       string            `json:"vpc"`
		Subnet    string            `json:"subnet"`
		Name      string            `json:"name"`
		IP        netip.Addr        `json:"ip,omitzero"`
		MAC       endpoint.MAC      `json:"mac,omitzero"`
		Port      uint32            `json:"port"` // ofport
		Device    string            `json:"device"`
		Netns     string            `json:"netns"`
		Interface string            `json:"interface"`
		Groups    []string          `json:"groups,omitempty"`
		Labels    map[string]string `json:"labels,omitempty"`
		State     endpoint.State    `json:"state"`
		Problem   string            `json:"problem,omitempty"`
	}
	// EndpointList is the answer to GET /v1/endpoints.
	EndpointList struct {
		Endpoints []Endpoint `json:"endpoints"`
	}
	// Status is the answer to GET /v1/status.
	Status struct {
		Host       string          `json:"host"`
		DPID       string          `json:"dpid"` // 16 hexadecimal digits
		Bridge     string          `json:"bridge"`
		Datapath   string          `json:"datapath"`
		Uplink     UplinkStatus    `json:"uplink"`
		Switch     bool            `json:"switch"`               // the switch process serves the bridge
		OpenFlow   map[string]bool `json:"openflow"`             // target -> connected
		Controller string          `json:"controller,omitempty"` // of the host's stream; empty: none
		Ready      bool            `json:"ready"`                // it has confirmed the host's report
		WirePorts  string          `json:"wirePorts"`
		Listeners  int             `json:"listeners"`
		Servers    []string        `json:"servers"` // ADDRESS:PORT of the controllers, as configured or told
		Endpoints  int             `json:"endpoints"`
		Names      dns.Stats       `json:"names"` // questions since the start

		CertificateEnds time.Time     `json:"certificateEnds"`
		RenewAt         time.Time     `json:"renewAt"`          // when it is to be renewed
		Docker          *DockerStatus `json:"docker,omitempty"` // absent: left alone
	}
	// DockerStatus is how the host's Docker is.
	DockerStatus struct {
		Answers  bool   `json:"answers"`
		Networks int    `json:"networks"`          // of DaoliNet's driver
		Problem  string `json:"problem,omitempty"` // what could not be brought in line with it
	}
	// BaseFlows is the answer to GET /v1/base-flows: what the switch should have, in
	// ovs-ofctl's words.
	BaseFlows struct {
		Flows []string `json:"flows"`
	}
	// UplinkStatus is how the host reaches the underlay.
	UplinkStatus struct {
		Device     string       `json:"device"`
		OwnAddress bool         `json:"ownAddress"` // the address is the wire's alone
		Addr       netip.Prefix `json:"address"`
		MAC        endpoint.MAC `json:"mac"`
		MTU        int          `json:"mtu"`
		NextHop    netip.Addr   `json:"nextHop,omitzero"`
		NextHopMAC endpoint.MAC `json:"nextHopMac,omitzero"`
	}
	// Failure is the answer where the status is not 200.
	Failure struct {
		Error string `json:"error"`
	}
)

func endpointView(e endpoint.Endpoint) Endpoint {
	return Endpoint{
		VPC: e.VPCID(), Subnet: e.Subnet, Name: e.Name, IP: e.IP, MAC: e.MAC, Port: e.Port, Device: e.Device(),
		Netns: e.Namespace, Interface: e.Interface, Groups: e.Groups, Labels: e.Labels, State: e.State, Problem: e.Problem,
	}
}
