package spec

// Limits of a tree. A tree that exceeds one is refused.
const (
	MaxFiles     = 10_000   // *.yaml files
	MaxFileBytes = 1 << 20  // bytes of one file
	MaxTreeBytes = 64 << 20 // bytes of all files
	MaxNesting   = 32       // lists and mappings within each other
	MaxEntries   = 10_000   // entries of one list or mapping

	// MaxTokens bounds scalars, collections, indicators and comments of all
	// files. It is what keeps a tree that is within the
	// other limits, but densely written, within the bounds of time and memory.
	// A mapping and a mark between documents count as mappingTokens, since the
	// most is made of them.
	MaxTokens     = 5_000_000
	mappingTokens = 4

	// MaxRules bounds the rules of all groups together, since an index of them is
	// kept: a rule of few tokens costs as much memory there as one of many.
	MaxRules = 200_000

	// maxProblems bounds how many errors, and how many warnings, are reported of
	// one tree, so that a tree of mistakes doesn't become a report larger than
	// itself.
	maxProblems = 10_000

	// maxWork bounds what comparing objects with each other costs, where that
	// can grow faster than the tree: subnets of VPCs with many peers, and hosts
	// and ports that are listened on. The unit is a few nanoseconds.
	maxWork    = 50_000_000
	workSubnet = 10 // looking at a subnet
	workGlobs  = 25 // looking whether two patterns may have a name in common
	workSpan   = 10 // keeping a range of ports
	workLookup = 3  // finding something, or that two patterns end differently

	// maxShown bounds a value that is quoted in a problem, in bytes.
	maxShown = 80
)
