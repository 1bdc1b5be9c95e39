// Package bench measures the introducer as a whole: real stores on a real disk, real
// processes where memory is the question. Run it with
//
//	go test -run '^$' -bench . ./bench
//
// Machines are noisy: what counts are the ratios within one run, which the benchmarks report
// as metrics of their own. Results worth keeping lie in results/, with the machine named.
package bench
