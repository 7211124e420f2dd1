<?php
// What Apache's alias does: /simplesaml/ is the folder www, and a path may follow a script's name.
$www = getenv('PEER_PROGRAM') . '/www';
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if (!preg_match('#^/simplesaml(/[\w./-]*)$#', $path, $found) || strpos($path, '..') !== false) {
    http_response_code(404);
    return true;
}
if (preg_match('#^(/.+?\.php)(/.*)?$#', $found[1], $parts) && is_file($www . $parts[1])) {
    $_SERVER['SCRIPT_NAME'] = '/simplesaml' . $parts[1];
    $_SERVER['SCRIPT_FILENAME'] = $www . $parts[1];
    $_SERVER['PHP_SELF'] = $path;
    unset($_SERVER['PATH_INFO']);
    if (isset($parts[2])) {
        $_SERVER['PATH_INFO'] = $parts[2];
    }
    chdir(dirname($www . $parts[1]));
    require $www . $parts[1];
    return true;
}
$types = ['css' => 'text/css', 'js' => 'text/javascript', 'png' => 'image/png'];
$type = $types[pathinfo($path, PATHINFO_EXTENSION)] ?? '';
if ($type === '' || !is_file($www . $found[1])) {
    http_response_code(404);
    return true;
}
header("Content-Type: $type");
readfile($www . $found[1]);
return true;
