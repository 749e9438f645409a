<?php
// Writes every file of argv[1] by PHP into argv[2]/php/FORM.
$forms = [
    'json_encode' => fn($v) => json_encode(['token' => $v]),
    'json_encode, unescaped' => fn($v) => json_encode(['token' => $v], JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE),
    'json_encode, JSON_HEX' => fn($v) => json_encode(['token' => $v], JSON_HEX_TAG | JSON_HEX_AMP | JSON_HEX_APOS | JSON_HEX_QUOT),
    'urlencode' => 'urlencode',
    'rawurlencode' => 'rawurlencode',
    'http_build_query' => fn($v) => http_build_query(['user' => 'me', 'token' => $v]),
    'var_export' => fn($v) => var_export(['token' => $v], true),
    'print_r' => fn($v) => print_r(['token' => $v], true),
    'serialize' => fn($v) => serialize(['token' => $v]),
    'htmlspecialchars' => 'htmlspecialchars',
    'htmlentities' => 'htmlentities',
    'addslashes' => 'addslashes',
    'escapeshellarg' => fn($v) => setlocale(LC_CTYPE, 'C.UTF-8') ? escapeshellarg($v) : '',
    'base64_encode' => 'base64_encode',
    'chunk_split of base64' => fn($v) => chunk_split(base64_encode($v)),
    'bin2hex' => 'bin2hex',
    'quoted_printable_encode' => 'quoted_printable_encode',
];
[, $in, $out] = $argv;
foreach ($forms as $form => $encode) {
    mkdir("$out/php/$form", 0777, true);
}
foreach (array_diff(scandir($in), ['.', '..']) as $name) {
    $value = file_get_contents("$in/$name");
    foreach ($forms as $form => $encode) {
        file_put_contents("$out/php/$form/$name", $encode($value));
    }
}
