package openflow

import "fmt"

// ErrorMessage is an OFPT_ERROR: what a switch has against the message that had
// Xid.
type ErrorMessage struct {
	Xid          uint32
	Type         uint16 // OFPET_*
	Code         uint16
	Experimenter uint32 // whose error it is, with Type 0xffff
	Data         []byte // start of the offending message, in OVS at most 64 bytes
}

// Error returns the error by its name in OpenFlow's header file.
func (e *ErrorMessage) Error() string {
	if e.Type == errorTypeExperimenter {
		return fmt.Sprintf("experimenter error %#x/%d", e.Experimenter, e.Code)
	}
	if e.Type == errorTypeHelloFailed && len(e.Data) > 0 {
		return fmt.Sprintf("%s: %q", e.name(), e.Data)
	}
	return e.name()
}

func (e *ErrorMessage) name() string {
	if int(e.Type) >= len(errorTypes) {
		return fmt.Sprintf("error %d/%d", e.Type, e.Code)
	}
	t := &errorTypes[e.Type]
	if int(e.Code) >= len(t.codes) {
		return fmt.Sprintf("%s/%d", t.name, e.Code)
	}
	return t.prefix + t.codes[e.Code]
}

// Expected says that the error belongs to the way in which messages are built
// here and means nothing: see AppendMeterMod.
func (e *ErrorMessage) Expected() bool {
	return e.Type == errorTypeMeterMod && e.Code == meterExists
}

const (
	errorTypeHelloFailed  = 0
	errorTypeMeterMod     = 12
	meterExists           = 1
	errorTypeExperimenter = 0xffff
)

// errorTypes are the names of OpenFlow 1.3.5, enum ofp_error_type and the enum of
// each type's codes; code 0 stands first.
var errorTypes = [...]struct {
	name, prefix string
	codes        []string
}{
	{"OFPET_HELLO_FAILED", "OFPHFC_", []string{"INCOMPATIBLE", "EPERM"}},
	{"OFPET_BAD_REQUEST", "OFPBRC_", []string{"BAD_VERSION", "BAD_TYPE", "BAD_MULTIPART", "BAD_EXPERIMENTER",
		"BAD_EXP_TYPE", "EPERM", "BAD_LEN", "BUFFER_EMPTY", "BUFFER_UNKNOWN", "BAD_TABLE_ID", "IS_SLAVE", "BAD_PORT",
		"BAD_PACKET", "MULTIPART_BUFFER_OVERFLOW"}},
	{"OFPET_BAD_ACTION", "OFPBAC_", []string{"BAD_TYPE", "BAD_LEN", "BAD_EXPERIMENTER", "BAD_EXP_TYPE", "BAD_OUT_PORT",
		"BAD_ARGUMENT", "EPERM", "TOO_MANY", "BAD_QUEUE", "BAD_OUT_GROUP", "MATCH_INCONSISTENT", "UNSUPPORTED_ORDER",
		"BAD_TAG", "BAD_SET_TYPE", "BAD_SET_LEN", "BAD_SET_ARGUMENT"}},
	{"OFPET_BAD_INSTRUCTION", "OFPBIC_", []string{"UNKNOWN_INST", "UNSUP_INST", "BAD_TABLE_ID", "UNSUP_METADATA",
		"UNSUP_METADATA_MASK", "BAD_EXPERIMENTER", "BAD_EXP_TYPE", "BAD_LEN", "EPERM"}},
	{"OFPET_BAD_MATCH", "OFPBMC_", []string{"BAD_TYPE", "BAD_LEN", "BAD_TAG", "BAD_DL_ADDR_MASK", "BAD_NW_ADDR_MASK",
		"BAD_WILDCARDS", "BAD_FIELD", "BAD_VALUE", "BAD_MASK", "BAD_PREREQ", "DUP_FIELD", "EPERM"}},
	{"OFPET_FLOW_MOD_FAILED", "OFPFMFC_", []string{"UNKNOWN", "TABLE_FULL", "BAD_TABLE_ID", "OVERLAP", "EPERM",
		"BAD_TIMEOUT", "BAD_COMMAND", "BAD_FLAGS"}},
	{"OFPET_GROUP_MOD_FAILED", "OFPGMFC_", []string{"GROUP_EXISTS", "INVALID_GROUP", "WEIGHT_UNSUPPORTED",
		"OUT_OF_GROUPS", "OUT_OF_BUCKETS", "CHAINING_UNSUPPORTED", "WATCH_UNSUPPORTED", "LOOP", "UNKNOWN_GROUP",
		"CHAINED_GROUP", "BAD_TYPE", "BAD_COMMAND", "BAD_BUCKET", "BAD_WATCH", "EPERM"}},
	{"OFPET_PORT_MOD_FAILED", "OFPPMFC_", []string{"BAD_PORT", "BAD_HW_ADDR", "BAD_CONFIG", "BAD_ADVERTISE", "EPERM"}},
	{"OFPET_TABLE_MOD_FAILED", "OFPTMFC_", []string{"BAD_TABLE", "BAD_CONFIG", "EPERM"}},
	{"OFPET_QUEUE_OP_FAILED", "OFPQOFC_", []string{"BAD_PORT", "BAD_QUEUE", "EPERM"}},
	{"OFPET_SWITCH_CONFIG_FAILED", "OFPSCFC_", []string{"BAD_FLAGS", "BAD_LEN", "EPERM"}},
	{"OFPET_ROLE_REQUEST_FAILED", "OFPRRFC_", []string{"STALE", "UNSUP", "BAD_ROLE"}},
	{"OFPET_METER_MOD_FAILED", "OFPMMFC_", []string{"UNKNOWN", "METER_EXISTS", "INVALID_METER", "UNKNOWN_METER",
		"BAD_COMMAND", "BAD_FLAGS", "BAD_RATE", "BAD_BURST", "BAD_BAND", "BAD_BAND_VALUE", "OUT_OF_METERS",
		"OUT_OF_BANDS"}},
	{"OFPET_TABLE_FEATURES_FAILED", "OFPTFFC_", []string{"BAD_TABLE", "BAD_METADATA", "BAD_TYPE", "BAD_LEN",
		"BAD_ARGUMENT", "EPERM"}},
}
