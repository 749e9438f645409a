# Writes every file of $1 in the ways of zsh into $2/zsh/FORM.
in=$1 out=$2
form() { dir=$out/zsh/$1; mkdir -p "$dir"; }

form 'set -x'
for file in $in/*; do
    value=$(<$file)
    (exec 2>"$dir/${file:t}"; set -x; : --password $value)
done
form 'typeset -p'
for file in $in/*; do
    value=$(<$file)
    typeset -p value >$dir/${file:t}
done
for flags in q qq qqq qqqq q- q+; do
    form '${('$flags')v}'
    for file in $in/*; do
        value=$(<$file)
        eval 'print -r -- ${('$flags')value}' >$dir/${file:t}
    done
done
