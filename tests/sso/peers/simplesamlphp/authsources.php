<?php
// People are in a file: {"name": {"password": …, "attributes": {…}}}.
$source = ['exampleauth:UserPass'];
$people = json_decode(file_get_contents(getenv('PEER_HOME') . '/people.json'), true);
foreach ($people as $name => $person) {
    $source["$name:{$person['password']}"] = ['uid' => [$name]] + $person['attributes'];
}
$config = ['people' => $source];
