<?php

[$status, $body] = countersign_session('42');
echo $status, "\n", $body, "\n";
