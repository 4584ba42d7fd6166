// Package archtest holds the architecture as a test: which package may import
// which, and why; that the core stays free of I/O, clocks, loggers and
// goroutines; that each package has one doc comment; that fuzz targets have
// seeds, links lead somewhere and nothing strays into the top level. It reads
// the sources without building them.
//
// A change of the table is a change of the design: it wants a reason, which
// stands beside each entry.
package archtest
