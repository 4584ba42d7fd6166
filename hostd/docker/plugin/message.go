package plugin

// What Docker asks and is answered, by the names of its own API. Fields that we
// have no use for are left out: Docker sends more with every version.
type (
	// Capabilities answers NetworkDriver.GetCapabilities.
	Capabilities struct {
		Scope             string // of networks: "local", each Docker has its own
		ConnectivityScope string // "global": containers of several hosts reach each other
		GwAllocChecker    bool   // GwAllocCheck is answered
	}
	// GwAllocCheck answers whether Docker need not ask for a gateway's address.
	GwAllocCheck struct {
		SkipIPv4, SkipIPv6 bool
	}
	// CreateNetworkRequest tells of a network.
	CreateNetworkRequest struct {
		NetworkID string
		Options   map[string]any // those of the user's under GenericOptions
		IPv4Data  []IPAMData
		IPv6Data  []IPAMData
	}
	// IPAMData is one address range of a network.
	IPAMData struct {
		AddressSpace string
		Pool         string // CIDR
		Gateway      string // CIDR
	}
	// DeleteNetworkRequest ends a network.
	DeleteNetworkRequest struct{ NetworkID string }
	// CreateEndpointRequest tells of an interface, not yet of whose.
	CreateEndpointRequest struct {
		NetworkID, EndpointID string
		Interface             *Interface
		Options               map[string]any
	}
	// Interface is what an endpoint has or gets; empty fields are unset.
	Interface struct {
		Address     string `json:",omitempty"` // CIDR
		AddressIPv6 string `json:",omitempty"`
		MacAddress  string `json:",omitempty"`
	}
	// CreateEndpointAnswer says what the request left open.
	CreateEndpointAnswer struct{ Interface *Interface }
	// EndpointRequest names an endpoint: DeleteEndpoint, Leave, and others.
	EndpointRequest struct{ NetworkID, EndpointID string }
	// JoinRequest asks for the interface.
	JoinRequest struct {
		NetworkID, EndpointID string
		SandboxKey            string // file of the network namespace
		Options               map[string]any
	}
	// JoinAnswer is the interface: Docker moves it, names, addresses it, and adds
	// the routes.
	JoinAnswer struct {
		InterfaceName         InterfaceName
		Gateway               string        `json:",omitempty"`
		StaticRoutes          []StaticRoute `json:",omitempty"`
		DisableGatewayService bool          // else Docker may add an interface of its own beside
	}
	// InterfaceName says which device becomes PREFIX0, PREFIX1, ...
	InterfaceName struct {
		SrcName   string
		DstPrefix string
	}
	// StaticRoute is a route through the interface.
	StaticRoute struct {
		Destination string // CIDR
		RouteType   int    // NextHop or OnLink
		NextHop     string `json:",omitempty"`
	}
	// OperInfo answers EndpointOperInfo.
	OperInfo struct{ Value map[string]any }

	// AddressSpaces answers GetDefaultAddressSpaces.
	AddressSpaces struct {
		LocalDefaultAddressSpace, GlobalDefaultAddressSpace string
	}
	// PoolRequest asks for a range of addresses.
	PoolRequest struct {
		AddressSpace, Pool, SubPool string
		Options                     map[string]string
		V6                          bool
	}
	// Pool answers it. PoolID names it from then on.
	Pool struct {
		PoolID string
		Pool   string // CIDR
		Data   map[string]string
	}
	// ReleasePoolRequest ends a pool.
	ReleasePoolRequest struct{ PoolID string }
	// AddressRequest asks for an address; an empty one means any.
	AddressRequest struct {
		PoolID, Address string
		Options         map[string]string
	}
	// Address answers it.
	Address struct {
		Address string // CIDR
		Data    map[string]string
	}
	// ReleaseAddressRequest gives an address back.
	ReleaseAddressRequest struct{ PoolID, Address string }
)

// Types of routes in a StaticRoute.
const (
	NextHop = 0
	OnLink  = 1
)

// Keys in the Options of requests.
const (
	GenericOptions = "com.docker.network.generic" // what the user gave by -o
	PortMap        = "com.docker.network.portmap" // what the user gave by -p
	AddressType    = "RequestAddressType"
	GatewayAddress = "com.docker.network.gateway" // as AddressType: the network's gateway
)

// Address spaces. Docker tells of each address range in whose it lies.
const (
	LocalSpace  = "daoli-local"
	GlobalSpace = "daoli-global"
)
