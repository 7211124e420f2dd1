<?php
$home = getenv('PEER_HOME') . '/';
$sources = [['type' => 'flatfile', 'directory' => __DIR__ . '/metadata/']];
if (is_file($home . 'portal.xml')) {
    $sources[] = ['type' => 'xml', 'file' => $home . 'portal.xml'];
}
$config = [
    'baseurlpath' => getenv('PEER_URL') . '/simplesaml/',
    'certdir' => $home,
    'loggingdir' => $home,
    'datadir' => $home,
    'tempdir' => $home . 'tmp/',
    'secretsalt' => 'only-for-tests-only-for-tests',
    'auth.adminpassword' => 'only-for-tests',
    'technicalcontact_email' => 'nobody@example.org',
    'timezone' => 'UTC',
    'logging.level' => 6,
    'logging.handler' => 'file',
    'logging.logfile' => 'simplesamlphp.log',
    'enable.saml20-idp' => true,
    'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
    'store.type' => 'sql',
    'store.sql.dsn' => 'sqlite:' . $home . 'store.sqlite3',
    'session.cookie.name' => 'PeerSession',
    'session.cookie.secure' => false,
    'session.cookie.samesite' => null,
    'session.phpsession.savepath' => $home . 'tmp',
    'session.duration' => 3600,
    'session.state.timeout' => 3600,
    'language.default' => 'en',
    'usenewui' => false,
    'metadata.sources' => $sources,
    'production' => false,
];
