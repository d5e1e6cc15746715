# SPDX-License-Identifier: Apache-2.0
# Perl's interpreter, regular expressions and sort. usage: busy.pl SECONDS
use strict;
use warnings;
my $end = time + $ARGV[0];
my $total = 0;
sub deep { my ($n) = @_; return $n ? deep($n - 1) + 1 : 0 }
while (time < $end) {
	my %seen;
	$seen{ join "-", $_ % 97, $_ % 31 }++ for 1 .. 3000;
	$total += deep(50);
	$total += grep { /^(\d+)-1/ } sort { $seen{$a} <=> $seen{$b} || $a cmp $b } keys %seen;
}
print "$total\n";
