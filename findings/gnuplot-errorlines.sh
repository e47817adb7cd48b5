#!/bin/sh
# gnuplot 6.0.2 (Debian trixie, 6.0.2+dfsg1-1), help, what is new in 6: styles with error bars
# "place a gap at the position of the data point"; help yerrorlines: "like linespoints, except that
# a vertical error line is also drawn", without a word of it.
# Guess: in 6 the error bar has two parts, with a gap between them; the line through the points is
# whole, as with linespoints, and so is what another series has drawn there.
# Seen: bar and line are drawn whole, and over each point goes a disc in the colour of the ground.
# It cuts the line and whatever other series lies beneath, and hides a bar that is shorter than it.
# `unset pointintervalbox`, which the help names for error bars, takes the discs away here too.
. "$(dirname "$0")/common"

packages trixie "$folder/root" gnuplot-nox=6.0.2+dfsg1-1
cat >"$folder/root/plot" <<'END'
set terminal svg background '#222222'
$points << LINES
1 1.1 0.01
2 1.1 0.01
3 1.1 0.01
LINES
set output '/tmp/linespoints'
plot 1.1 notitle, $points with linespoints notitle
set output '/tmp/yerrorlines'
plot 1.1 notitle, $points with yerrorlines notitle
set output '/tmp/yerrorlines without pointintervalbox'
unset pointintervalbox
plot 1.1 notitle, $points with yerrorlines notitle
END
inside "$folder/root" gnuplot-nox /plot 2>/dev/null
for file in linespoints yerrorlines 'yerrorlines without pointintervalbox'; do
    echo "$file: $(grep -c "<use .*color='#222222'" "$folder/root/tmp/$file" || true) discs"
done >"$folder/seen"
same "$folder/seen" <<'END'
linespoints: 0 discs
yerrorlines: 3 discs
yerrorlines without pointintervalbox: 0 discs
END
